//! Programs that know nothing of the virtual network use it, and what is not for it never enters it.

mod common;

use std::net::{TcpListener, TcpStream};

use anyhow::{Result, ensure};
use common::net::{Net, PATIENCE, run};
use lab::eventually;

#[test]
fn ns_vn_04_ping_curl_and_iperf_work_over_both_ip_versions() -> Result<()> {
    const PAGE: &str = "<p>a page of the group</p>\n";
    let net = Net::new()?;
    let (alice, bob) = net.linked_pair()?;
    let (ipv4, ipv6) = ("10.42.0.2".to_owned(), alice.ipv6()?);
    bob.reach(&ipv6)?;

    std::fs::write(net.group.path("page.html"), PAGE)?;
    let mut web = alice.host.command("python3");
    web.args(["-m", "http.server", "8080", "--bind", "::", "--directory"]).arg(net.group.path("."));
    let _web = alice.host.spawn(web)?;
    let mut meter = alice.host.command("iperf3");
    meter.arg("-s");
    let _meter = alice.host.spawn(meter)?;
    for address in [&ipv4, &ipv6] {
        let host = if address.contains(':') { format!("[{address}]") } else { address.clone() };
        let url = format!("http://{host}:8080/page.html");
        let fetch = || run(bob.host.command("curl").args(["-s", "-f", "-g", &url]));
        ensure!(eventually(PATIENCE, fetch)? == PAGE, "another page");
        let measure = |options: &[&str]| {
            let words = ["-c", address.as_str(), "-n", "8M", "-J"];
            run(bob.host.command("iperf3").args(words).args(options))
        };
        // The server is busy for a moment after each.
        for options in [&[][..], &["--reverse"], &["--udp", "--bitrate", "100M"]] {
            eventually(PATIENCE, || measure(options))?;
        }
    }
    Ok(())
}

#[test]
fn ns_vn_08_internet_packets_never_reach_the_process() -> Result<()> {
    let net = Net::new()?;
    let (mut alice, mut bob) = (net.pinned("alice", 2)?, net.pinned("bob", 3)?);
    // A router on the LAN leads to a host that no member knows.
    let (_router, internet, _) = net.router()?;
    let server = net.lab.host("server")?;
    server.attach(&internet, &["198.51.100.7/24"])?;
    server.ip("route add default via 198.51.100.254")?;
    for node in [&alice, &bob] {
        node.host.ip("route add default via 192.0.2.254")?;
    }
    let blob = net.blob(&[2]);
    alice.start("up", &blob)?;
    bob.start("up", &blob)?;
    bob.reach("10.42.0.2")?;

    let route = run(bob.host.command("ip").args(["route", "get", "198.51.100.7"]))?;
    ensure!(route.contains("via 192.0.2.254 dev eth0"), "{route}");
    let (wire, device) = (bob.host.capture("eth0")?, bob.host.capture("warren0")?);
    let listener = server.run(|| TcpListener::bind("198.51.100.7:80"))??;
    let socket = bob.host.run(|| TcpStream::connect("198.51.100.7:80"))??;
    let (accepted, from) = listener.accept()?;
    ensure!(from.ip().to_string() == "192.0.2.3", "the server sees {from}");
    const MARKER: &[u8] = b"this is not for the group";
    std::io::Write::write_all(&mut &socket, MARKER)?;
    std::io::Read::read_exact(&mut &accepted, &mut [0; MARKER.len()])?;
    bob.reach("198.51.100.7")?;
    eventually(PATIENCE, || {
        ensure!(wire.contains(MARKER), "not on the wire");
        Ok(())
    })?;
    let to_server = |bytes: &[u8]| bytes.windows(4).any(|ip| ip == [198, 51, 100, 7]);
    ensure!(!device.packets().iter().any(|packet| to_server(&packet.bytes)), "on the device");
    // Had one reached the process, it would have been refused and counted.
    ensure!(bob.drops("outside_subnet")? == 0.0, "a packet reached the process");
    Ok(())
}
