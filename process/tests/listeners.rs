#![expect(clippy::disallowed_methods, clippy::unwrap_used, reason = "real listeners are what is looked for")]
//! The process that answers is named, and all that could answer in its place.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::process::{Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

use process::listener::{Listening, Owners, owners};

/// One test at a time: a child that has not become its program yet holds the sockets of all of them.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Says who owns it, without the processes that even root may not look at, as in some containers.
fn asked(address: &Listening) -> Owners {
    Owners { unseen_processes: 0, ..owners(address).unwrap() }
}

fn own() -> Owners {
    Owners { listening: true, pids: vec![std::process::id()], unseen_processes: 0 }
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

#[test]
fn the_holder_of_a_listening_socket_is_found_also_behind_a_wildcard() {
    let _alone = alone();
    if !is_root() {
        return skip::note("without root other processes cannot be seen");
    }
    let exact = TcpListener::bind("127.0.0.1:0").unwrap();
    assert_eq!(asked(&Listening::Tcp(exact.local_addr().unwrap())), own());
    let all = TcpListener::bind("0.0.0.0:0").unwrap();
    let mut address = all.local_addr().unwrap();
    address.set_ip([127, 0, 0, 1].into());
    assert_eq!(asked(&Listening::Tcp(address)), own());
    if let Ok(dual) = TcpListener::bind("[::]:0") {
        address.set_port(dual.local_addr().unwrap().port());
        assert_eq!(asked(&Listening::Tcp(address)), own());
    }
    drop(all);
    drop(exact);
    assert_eq!(asked(&Listening::Tcp("127.0.0.1:1".parse().unwrap())), Owners::default());
}

#[test]
fn every_child_of_a_forking_server_is_an_owner() {
    let _alone = alone();
    let script = "import os, socket, sys\n\
        s = socket.socket(); s.bind(('127.0.0.1', 0)); s.listen()\n\
        child = os.fork()\n\
        if child: print(s.getsockname()[1], os.getpid(), child, flush=True)\n\
        sys.stdin.read()\n";
    let mut server =
        Command::new("python3").args(["-c", script]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(server.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let numbers: Vec<u32> = line.split_whitespace().map(|word| word.parse().unwrap()).collect();
    let address = format!("127.0.0.1:{}", numbers[0]).parse().unwrap();
    let mut wanted = numbers[1..].to_vec();
    wanted.sort_unstable();
    assert_eq!(owners(&Listening::Tcp(address)).unwrap().pids, wanted);
    drop(server.stdin.take());
    server.wait().unwrap();
}

#[test]
fn a_unix_socket_is_found_by_its_file_not_by_its_name() {
    let _alone = alone();
    if !is_root() {
        return skip::note("without root other processes cannot be seen");
    }
    let directory = tempfile::tempdir().unwrap();
    let other = tempfile::tempdir().unwrap();
    let path = directory.path().join("app.sock");
    let _listener = UnixListener::bind(&path).unwrap();
    let _namesake = UnixListener::bind(other.path().join("app.sock")).unwrap();
    assert_eq!(asked(&Listening::Unix(path.clone())), own());
    let link = directory.path().join("link");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    assert_eq!(asked(&Listening::Unix(link)), own());
    assert_eq!(asked(&Listening::Unix(directory.path().join("none"))), Owners::default());
}

#[test]
fn a_replaced_server_that_still_listens_is_no_owner_of_the_new_socket() {
    let _alone = alone();
    if !is_root() {
        return skip::note("without root other processes cannot be seen");
    }
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("app.sock");
    let script = "import socket, sys\n\
        s = socket.socket(socket.AF_UNIX); s.bind(sys.argv[1]); s.listen()\n\
        print('ready', flush=True)\n\
        sys.stdin.read()\n";
    let mut old = Command::new("python3")
        .args(["-c", script])
        .arg(&path)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(old.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(asked(&Listening::Unix(path.clone())).pids, [old.id()]);
    std::fs::remove_file(&path).unwrap();
    let _new = UnixListener::bind(&path).unwrap();
    assert_eq!(asked(&Listening::Unix(path)), own());
    drop(old.stdin.take());
    old.wait().unwrap();
}
