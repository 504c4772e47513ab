//! https: whose certificate is believed, and what is said when it is not.

#![expect(clippy::disallowed_methods, reason = "tests")]

mod support;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use support::health;

/// A server with a certificate of its own for `localhost` and 127.0.0.1; returns also its authority as PEM.
#[expect(clippy::unwrap_used, reason = "test set-up")]
fn server(answer: &'static str) -> (SocketAddr, String) {
    let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
    let certified = rcgen::generate_simple_self_signed(names).unwrap();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(certified.signing_key.serialize_der()));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.with_no_client_auth().with_single_cert(vec![certified.cert.der().clone()], key).unwrap();
    let (config, listener) = (Arc::new(config), TcpListener::bind("127.0.0.1:0").unwrap());
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for socket in listener.incoming().flatten() {
            let mut stream = StreamOwned::new(ServerConnection::new(Arc::clone(&config)).unwrap(), socket);
            let mut request = [0; 4096];
            // The other side hangs up where it does not believe us.
            if matches!(stream.read(&mut request), Ok(length) if length > 0) {
                drop(stream.write_all(answer.as_bytes()).and_then(|()| stream.flush()));
                stream.conn.send_close_notify();
                drop(stream.flush());
            }
        }
    });
    (address, certified.cert.pem())
}

#[test]
fn a_certificate_is_believed_by_its_authority_or_not_at_all() {
    let (address, authority) = server("HTTP/1.1 200 OK\r\n\r\nall of it, up to the end");
    let folder = tempfile::tempdir().unwrap();
    let (ca, empty) = (folder.path().join("ca.pem"), folder.path().join("empty.pem"));
    std::fs::write(&ca, authority).unwrap();
    std::fs::write(&empty, "").unwrap();
    let (ca, empty) = (ca.to_str().unwrap(), empty.to_str().unwrap());
    let port = address.port();
    for (url, words, status, reason) in [
        (format!("https://{address}/"), vec!["--ca", ca], 0, ""),
        (format!("https://localhost:{port}/"), vec!["--ca", ca, "--expect-body", "up to the end"], 0, ""),
        (format!("https://127.0.0.2:{port}/"), vec!["--ca", ca], 3, "connection refused"),
        (format!("https://{address}/"), vec![], 3, "TLS: invalid peer certificate"),
        (format!("https://{address}/"), vec!["--insecure"], 0, ""),
        (format!("http://{address}/"), vec!["--timeout", "500ms"], 3, ""),
    ] {
        let ran = health(&[&[url.as_str()], &words[..]].concat());
        assert_eq!(ran.status, status, "{url} {words:?}: {ran:?}");
        assert!(ran.reason().contains(reason), "{url} {words:?}: {ran:?}");
    }
    let ran = health(&[&format!("https://{address}/"), "--ca", empty]);
    assert!(ran.status == 1 && ran.stderr.contains("holds no certificate"), "{ran:?}");
}

#[test]
fn a_certificate_for_another_name_is_not_believed() {
    let (address, authority) = server("HTTP/1.1 200 OK\r\n\r\n");
    let folder = tempfile::tempdir().unwrap();
    let ca = folder.path().join("ca.pem");
    std::fs::write(&ca, authority).unwrap();
    // ::ffff:127.0.0.1 reaches the same server under a name that it has no certificate for.
    let url = format!("https://[::ffff:127.0.0.1]:{}/", address.port());
    let ran = health(&[&url, "--ca", ca.to_str().unwrap()]);
    assert!(ran.status == 3 && ran.reason().contains("TLS: invalid peer certificate"), "{ran:?}");
}

#[test]
fn a_service_that_speaks_no_tls_is_told_so() {
    let plain = support::Service::saying("SSH-2.0-OpenSSH_9.2\r\n");
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let ran = health(&[&format!("https://{}/", plain.address), "--insecure", "--timeout", "500ms"]);
    assert!(ran.status == 3 && ran.reason().contains("TLS"), "{ran:?}");
    let ran = health(&[&format!("https://{}/", silent.local_addr().unwrap()), "--insecure", "--timeout", "300ms"]);
    assert!(ran.status == 3 && ran.reason().contains("(shaking hands for TLS"), "{ran:?}");
}
