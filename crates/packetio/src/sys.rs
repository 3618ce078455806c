//! The system calls that no safe library wraps: batched sends and receives with control messages,
//! the error queue, the TUN offload request, eventfd, ppoll.
//!
//! Each function takes and returns safe types, builds the C structures on its own stack and keeps no
//! pointer. This is the only module of the project with `unsafe` code.
#![allow(unsafe_code)]

use std::io;
use std::mem::{size_of, zeroed};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd};
use std::ptr;
use std::time::Duration;

/// Messages per `sendmmsg`: enough that the call itself no longer counts, and 4 KB of stack.
pub const SEND_MAX: usize = 16;
/// Messages per `recvmmsg`; with GRO one of them holds up to 64 KB.
pub const RECV_MAX: usize = 8;

/// `TUNSETOFFLOAD` of `linux/if_tun.h`: `_IOW('T', 208, unsigned int)`.
const TUNSETOFFLOAD: u32 = 0x4004_54d0;

/// Room for control messages, aligned as `cmsghdr` must be. Sends carry one 2-byte message;
/// receives a 4-byte one, or an extended error with the offender's address (16 + 28 bytes).
type Control = [u64; 16];

/// One message for [`send_many`].
#[derive(Clone, Copy, Debug)]
pub struct Outgoing<'a> {
    /// Destination, in the address family of the socket.
    pub to: SocketAddr,
    /// One datagram, or several to be cut at `segment`.
    pub bytes: &'a [u8],
    /// Segment size for `UDP_SEGMENT`.
    pub segment: Option<u16>,
}

/// One message from [`recv_many`].
#[derive(Clone, Copy, Debug)]
pub struct Received {
    /// Source address, IPv4-mapped ones as IPv4.
    pub from: SocketAddr,
    /// Bytes received.
    pub len: usize,
    /// Size of each datagram in them but the last.
    pub segment: usize,
}

/// One entry of the error queue of a socket.
#[derive(Clone, Copy, Debug)]
pub struct QueuedError {
    /// Where the datagram was sent to.
    pub to: SocketAddr,
    pub errno: i32,
    /// `SO_EE_ORIGIN_*`.
    pub origin: u8,
    /// ICMP type and code.
    pub kind: u8,
    pub code: u8,
    /// The MTU, if the datagram was too long.
    pub info: u32,
}

fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// Sets an integer socket option.
pub fn set_option(fd: BorrowedFd<'_>, level: i32, name: i32, value: i32) -> io::Result<()> {
    // SAFETY: the pointer and length describe `value`, which lives over the call.
    check(unsafe {
        libc::setsockopt(
            fd.as_raw_fd(),
            level,
            name,
            (&raw const value).cast(),
            size_of::<i32>() as libc::socklen_t,
        )
    })
    .map(drop)
}

/// Sends the first [`SEND_MAX`] messages and returns how many the kernel took, without blocking. An
/// error is that of the first message.
pub fn send_many<'a>(
    fd: BorrowedFd<'_>,
    messages: impl Iterator<Item = Outgoing<'a>>,
) -> io::Result<usize> {
    // SAFETY: all of these are plain C structures for which zeros are valid.
    let mut headers: [libc::mmsghdr; SEND_MAX] = unsafe { zeroed() };
    // SAFETY: as above.
    let mut addresses: [libc::sockaddr_storage; SEND_MAX] = unsafe { zeroed() };
    // SAFETY: as above.
    let mut parts: [libc::iovec; SEND_MAX] = unsafe { zeroed() };
    let mut controls = [[0_u64; 3]; SEND_MAX];
    let mut count = 0;
    for message in messages.take(SEND_MAX) {
        let header = &mut headers[count].msg_hdr;
        header.msg_namelen = encode_address(message.to, &mut addresses[count]);
        header.msg_name = (&raw mut addresses[count]).cast();
        parts[count].iov_base = message.bytes.as_ptr().cast_mut().cast();
        parts[count].iov_len = message.bytes.len();
        header.msg_iov = &raw mut parts[count];
        header.msg_iovlen = 1;
        if let Some(segment) = message.segment {
            header.msg_control = controls[count].as_mut_ptr().cast();
            // SAFETY: arithmetic only.
            header.msg_controllen = unsafe { libc::CMSG_SPACE(2) } as _;
            // SAFETY: the control buffer has CMSG_SPACE(2) = 24 bytes, so the first header and two
            // bytes of payload are within it.
            unsafe {
                let control = libc::CMSG_FIRSTHDR(header);
                (*control).cmsg_level = libc::SOL_UDP;
                (*control).cmsg_type = libc::UDP_SEGMENT;
                (*control).cmsg_len = libc::CMSG_LEN(2) as _;
                libc::CMSG_DATA(control).cast::<u16>().write_unaligned(segment);
            }
        }
        count += 1;
    }
    if count == 0 {
        return Ok(0);
    }
    // SAFETY: each of the first `count` headers points to arrays above and to bytes borrowed for
    // 'a, all alive; the kernel only reads them.
    check(unsafe {
        libc::sendmmsg(
            fd.as_raw_fd(),
            headers.as_mut_ptr(),
            count as libc::c_uint,
            (libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL) as _,
        )
    })
    .map(|sent| sent as usize)
}

/// Receives up to one message per buffer of `buffer_len` bytes, without blocking, and returns how
/// many there were. Messages from something other than IP are left out as empty.
pub fn recv_many(
    fd: BorrowedFd<'_>,
    buffers: &mut [u8],
    buffer_len: usize,
    received: &mut [Received],
) -> io::Result<usize> {
    // SAFETY: all of these are plain C structures for which zeros are valid.
    let mut headers: [libc::mmsghdr; RECV_MAX] = unsafe { zeroed() };
    // SAFETY: as above.
    let mut addresses: [libc::sockaddr_storage; RECV_MAX] = unsafe { zeroed() };
    // SAFETY: as above.
    let mut parts: [libc::iovec; RECV_MAX] = unsafe { zeroed() };
    let mut controls = [Control::default(); RECV_MAX];
    let mut count = 0;
    for buffer in buffers.chunks_exact_mut(buffer_len).take(RECV_MAX.min(received.len())) {
        let header = &mut headers[count].msg_hdr;
        header.msg_name = (&raw mut addresses[count]).cast();
        header.msg_namelen = size_of::<libc::sockaddr_storage>() as libc::socklen_t;
        parts[count].iov_base = buffer.as_mut_ptr().cast();
        parts[count].iov_len = buffer.len();
        header.msg_iov = &raw mut parts[count];
        header.msg_iovlen = 1;
        header.msg_control = controls[count].as_mut_ptr().cast();
        header.msg_controllen = size_of::<Control>() as _;
        count += 1;
    }
    // SAFETY: each of the first `count` headers points to its own buffer, address and control room,
    // all alive and of the lengths given.
    let got = check(unsafe {
        libc::recvmmsg(
            fd.as_raw_fd(),
            headers.as_mut_ptr(),
            count as libc::c_uint,
            libc::MSG_DONTWAIT as _,
            ptr::null_mut(),
        )
    })? as usize;
    for (index, header) in headers[..got].iter().enumerate() {
        let from = decode_address(&addresses[index]);
        let len = if from.is_some() { header.msg_len as usize } else { 0 };
        let mut segment = len;
        for_each_control(&header.msg_hdr, |level, kind, data| {
            if (level, kind) == (libc::SOL_UDP, libc::UDP_GRO)
                && let Some(size) = data.first_chunk()
            {
                segment = usize::try_from(i32::from_ne_bytes(*size)).unwrap_or(len);
            }
        });
        received[index] =
            Received { from: from.unwrap_or(NOWHERE), len: len.min(buffer_len), segment };
    }
    Ok(got)
}

/// Stands for an address that is not known.
pub const NOWHERE: SocketAddr = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0));

/// Takes one entry off the error queue.
pub fn recv_error(fd: BorrowedFd<'_>) -> io::Result<Option<QueuedError>> {
    // SAFETY: both are plain C structures for which zeros are valid.
    let (mut header, mut address): (libc::msghdr, libc::sockaddr_storage) =
        unsafe { (zeroed(), zeroed()) };
    let mut control = Control::default();
    header.msg_name = (&raw mut address).cast();
    header.msg_namelen = size_of::<libc::sockaddr_storage>() as libc::socklen_t;
    header.msg_control = control.as_mut_ptr().cast();
    header.msg_controllen = size_of::<Control>() as _;
    // SAFETY: the header points to address and control room, alive and of the lengths given, and to
    // no payload.
    let result = check(unsafe {
        libc::recvmsg(fd.as_raw_fd(), &raw mut header, libc::MSG_ERRQUEUE | libc::MSG_DONTWAIT)
            as libc::c_int
    });
    match result {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
        Err(error) => return Err(error),
        Ok(_) => {}
    }
    let mut queued = QueuedError {
        to: decode_address(&address).unwrap_or(NOWHERE),
        errno: 0,
        origin: 0,
        kind: 0,
        code: 0,
        info: 0,
    };
    for_each_control(&header, |level, kind, data| {
        let is_error = (level, kind) == (libc::SOL_IP, libc::IP_RECVERR)
            || (level, kind) == (libc::SOL_IPV6, libc::IPV6_RECVERR);
        // `struct sock_extended_err` of `linux/errqueue.h`: errno 4, origin, type, code, padding,
        // info 4.
        if is_error && let Some(error) = data.first_chunk::<12>() {
            let [e0, e1, e2, e3, origin, kind, code, _, i0, i1, i2, i3] = *error;
            queued.errno = i32::from_ne_bytes([e0, e1, e2, e3]);
            queued.info = u32::from_ne_bytes([i0, i1, i2, i3]);
            (queued.origin, queued.kind, queued.code) = (origin, kind, code);
        }
    });
    Ok(Some(queued))
}

/// Calls `each` with level, type and payload of each control message that the kernel wrote.
fn for_each_control(header: &libc::msghdr, mut each: impl FnMut(i32, i32, &[u8])) {
    // SAFETY: `header` comes from a successful receive, so the kernel has set its control length to
    // what it wrote, and the messages in it are well formed; the buffer outlives this call.
    unsafe {
        let mut control = libc::CMSG_FIRSTHDR(header);
        while !control.is_null() {
            let len = ((*control).cmsg_len as usize).saturating_sub(libc::CMSG_LEN(0) as usize);
            let data = std::slice::from_raw_parts(libc::CMSG_DATA(control), len);
            each((*control).cmsg_level, (*control).cmsg_type, data);
            control = libc::CMSG_NXTHDR(header, control);
        }
    }
}

/// Writes an address as the kernel wants it and returns its length.
fn encode_address(address: SocketAddr, to: &mut libc::sockaddr_storage) -> libc::socklen_t {
    match address {
        SocketAddr::V4(v4) => {
            // SAFETY: the storage is large enough and aligned for every address, and zeros are
            // valid in it.
            let to = unsafe { &mut *ptr::from_mut(to).cast::<libc::sockaddr_in>() };
            to.sin_family = libc::AF_INET as libc::sa_family_t;
            to.sin_port = v4.port().to_be();
            to.sin_addr.s_addr = u32::from_ne_bytes(v4.ip().octets());
            size_of::<libc::sockaddr_in>() as libc::socklen_t
        }
        SocketAddr::V6(v6) => {
            // SAFETY: as above.
            let to = unsafe { &mut *ptr::from_mut(to).cast::<libc::sockaddr_in6>() };
            to.sin6_family = libc::AF_INET6 as libc::sa_family_t;
            to.sin6_port = v6.port().to_be();
            to.sin6_addr.s6_addr = v6.ip().octets();
            to.sin6_scope_id = v6.scope_id();
            size_of::<libc::sockaddr_in6>() as libc::socklen_t
        }
    }
}

/// Reads an address that the kernel wrote; IPv4-mapped addresses become IPv4.
fn decode_address(from: &libc::sockaddr_storage) -> Option<SocketAddr> {
    match i32::from(from.ss_family) {
        libc::AF_INET => {
            // SAFETY: the family says which structure the storage holds; it is large enough and
            // aligned for every address.
            let v4 = unsafe { &*ptr::from_ref(from).cast::<libc::sockaddr_in>() };
            let ip = Ipv4Addr::from(v4.sin_addr.s_addr.to_ne_bytes());
            Some(SocketAddrV4::new(ip, u16::from_be(v4.sin_port)).into())
        }
        libc::AF_INET6 => {
            // SAFETY: as above.
            let v6 = unsafe { &*ptr::from_ref(from).cast::<libc::sockaddr_in6>() };
            let (ip, port) = (Ipv6Addr::from(v6.sin6_addr.s6_addr), u16::from_be(v6.sin6_port));
            Some(match ip.to_ipv4_mapped() {
                Some(v4) => SocketAddrV4::new(v4, port).into(),
                None => SocketAddrV6::new(ip, port, 0, v6.sin6_scope_id).into(),
            })
        }
        _ => None,
    }
}

/// Asks a TUN device for offloads (`TUN_F_*`).
pub fn tun_set_offload(fd: BorrowedFd<'_>, offloads: u32) -> io::Result<()> {
    // SAFETY: this request takes a number, not a pointer.
    check(unsafe { libc::ioctl(fd.as_raw_fd(), TUNSETOFFLOAD as _, libc::c_ulong::from(offloads)) })
        .map(drop)
}

/// Takes the descriptor out of whatever owns it.
pub fn into_fd(owner: impl IntoRawFd) -> OwnedFd {
    // SAFETY: `into_raw_fd` gives up ownership of an open descriptor.
    unsafe { OwnedFd::from_raw_fd(owner.into_raw_fd()) }
}

/// Index of the interface with this name.
pub fn interface_index(name: &str) -> io::Result<u32> {
    let name = std::ffi::CString::new(name)?;
    // SAFETY: the string ends with zero and lives over the call.
    match unsafe { libc::if_nametoindex(name.as_ptr()) } {
        0 => Err(io::Error::last_os_error()),
        index => Ok(index),
    }
}

/// Makes a non-blocking eventfd.
pub fn eventfd() -> io::Result<OwnedFd> {
    // SAFETY: takes numbers only.
    let fd = check(unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) })?;
    // SAFETY: the kernel has just made this descriptor for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Waits until one of the descriptors can be read or has an error, and returns what `poll(2)` says
/// of each. A signal ends the wait with nothing ready.
pub fn wait_readable<const N: usize>(
    fds: [BorrowedFd<'_>; N],
    timeout: Option<Duration>,
) -> io::Result<[i16; N]> {
    let mut polled =
        fds.map(|fd| libc::pollfd { fd: fd.as_raw_fd(), events: libc::POLLIN, revents: 0 });
    // SAFETY: a plain C structure for which zeros are valid.
    let mut limit: libc::timespec = unsafe { zeroed() };
    if let Some(timeout) = timeout {
        limit.tv_sec = timeout.as_secs().try_into().unwrap_or(libc::time_t::MAX);
        limit.tv_nsec = timeout.subsec_nanos() as _;
    }
    let limit = if timeout.is_some() { &raw const limit } else { ptr::null() };
    // SAFETY: `polled` has N entries; `limit` is null or points to a structure that lives over the
    // call; the signal mask is left alone.
    let result = check(unsafe { libc::ppoll(polled.as_mut_ptr(), N as _, limit, ptr::null()) });
    match result {
        Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok([0; N]),
        Err(error) => Err(error),
        Ok(_) => Ok(polled.map(|fd| fd.revents)),
    }
}

/// Moves the calling thread into a network namespace of its own.
#[cfg(test)]
pub fn unshare_network() -> io::Result<()> {
    // SAFETY: takes a number only and touches no memory.
    check(unsafe { libc::unshare(libc::CLONE_NEWNET) }).map(drop)
}
