//! The secure shell over the virtual network: a real server, logged into and copied to from another member.
//!
//! The server runs as an ordinary user that exists for it alone: a user namespace maps that user to the one who
//! runs the test, and a mount namespace has a user list of its own. Nothing of the machine is changed.

mod common;

use std::path::Path;
use std::process::Command;

use anyhow::{Result, ensure};
use common::net::{Net, Node, PATIENCE, run};
use common::text;
use lab::{Daemon, eventually};

const PORT: &str = "2222";
/// Longer than what any buffer on the way holds.
const FILE_LEN: usize = 8 << 20;

/// Starts a server at a node, with all its files in `folder`.
fn serve(node: &Node, folder: &Path) -> Result<Daemon> {
    std::fs::create_dir(folder)?;
    for name in ["host_key", "login_key"] {
        let mut generate = Command::new("ssh-keygen");
        generate.args(["-q", "-t", "ed25519", "-N", "", "-C", name, "-f"]).arg(folder.join(name));
        run(&mut generate)?;
    }
    let here = text(folder);
    let host_key = std::fs::read_to_string(folder.join("host_key.pub"))?;
    std::fs::write(folder.join("known_hosts"), format!("alice {host_key}"))?;
    std::fs::write(
        folder.join("passwd"),
        format!("root:x:0:0::/:/bin/sh\nuser:x:1000:1000::{here}:/bin/sh\n"),
    )?;
    std::fs::write(
        folder.join("config"),
        format!(
            "Port {PORT}\nHostKey {here}/host_key\nAuthorizedKeysFile {here}/login_key.pub\n\
             AuthenticationMethods publickey\nStrictModes no\nUsePAM no\nPidFile none\n\
             Subsystem sftp internal-sftp\n"
        ),
    )?;
    const SCRIPT: &str = "mount --bind \"$1/passwd\" /etc/passwd && \
        exec unshare --user --map-user=1000 --map-group=1000 \
        \"$(command -v sshd)\" -D -e -f \"$1/config\"";
    let mut server = node.host.command("unshare");
    server.args(["--mount", "sh", "-c", SCRIPT, "sh", here]);
    let server = node.host.spawn(server)?;
    server.wait_for_log("Server listening on 0.0.0.0", PATIENCE)?;
    Ok(server)
}

/// `ssh` or `scp` at a node, with the login key and a host key that must be the server's.
fn client(program: &str, node: &Node, folder: &Path) -> Command {
    let here = text(folder);
    let mut client = node.host.command(program);
    client.args(["-F", "none", "-i", &format!("{here}/login_key"), "-o", "BatchMode=yes"]);
    client.args(["-o", "HostKeyAlias=alice", "-o", "StrictHostKeyChecking=yes"]);
    client.args(["-o", &format!("UserKnownHostsFile={here}/known_hosts")]);
    client.args(["-o", &format!("Port={PORT}"), "-o", "User=user"]);
    client
}

#[test]
fn ns_vn_01_ssh_logs_in_and_copies_files_over_both_ip_versions() -> Result<()> {
    let net = Net::new()?;
    let (alice, bob) = net.linked_pair()?;
    let (ipv4, ipv6) = ("10.42.0.2".to_owned(), alice.ipv6()?);
    bob.reach(&ipv6)?;
    let folder = net.group.path("ssh");
    let _server = serve(&alice, &folder)?;
    let file: Vec<u8> = (0..FILE_LEN).map(|n| (n * 7 + n / 251) as u8).collect();
    let (here, there, back) = (folder.join("here"), folder.join("there"), folder.join("back"));
    std::fs::write(&here, &file)?;
    let checksum = |line: String| line.split(' ').next().map(str::to_owned);
    let expected = checksum(run(Command::new("sha256sum").arg(&here))?);

    for address in [&ipv4, &ipv6] {
        let ssh = |line: &str| run(client("ssh", &bob, &folder).args([address, line]));
        // Client address, client port, server address, server port.
        let connection = eventually(PATIENCE, || ssh("echo $SSH_CONNECTION"))?;
        let ends: Vec<_> = connection.split_whitespace().collect();
        ensure!(ends.len() == 4 && ends[2] == address, "not over the VPN: {connection}");
        let failed = client("ssh", &bob, &folder).args([address, "exit 7"]).status()?;
        ensure!(failed.code() == Some(7), "the command's status is lost: {failed}");

        let host = if address.contains(':') { format!("[{address}]") } else { address.clone() };
        let remote = format!("{host}:{}", text(&there));
        run(client("scp", &bob, &folder).args([text(&here), &remote]))?;
        let copied = checksum(ssh(&format!("sha256sum {}", text(&there)))?);
        ensure!(copied == expected, "the copy differs: {copied:?}");
        run(client("scp", &bob, &folder).args([&remote, text(&back)]))?;
        ensure!(std::fs::read(&back)? == file, "what came back differs");
        std::fs::remove_file(&there)?;
    }
    Ok(())
}
