//! TLS over the engine's sockets. The certificates are read once, and only when an https target asks for them.

use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, bail};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, RootCertStore, SignatureScheme};

use super::net::{Socket, plain};
use crate::engine::Io;
use crate::verdict::Answer;

/// Whose certificates are believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Trust {
    /// The system's authorities.
    System,
    /// Only those in this PEM file.
    File(std::path::PathBuf),
    /// Anybody's.
    Everyone,
}

/// How to speak TLS to one host.
#[derive(Debug)]
pub(crate) struct Tls {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
}

/// A TLS connection beside its socket.
#[derive(Debug)]
pub(crate) struct Session {
    connection: ClientConnection,
}

/// Reads the certificates that `trust` names. Writes nothing.
pub(crate) fn config(trust: &Trust) -> anyhow::Result<Arc<ClientConfig>> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions()?;
    let config = match trust {
        Trust::Everyone => builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(AnyCertificate { provider }))
            .with_no_client_auth(),
        Trust::File(path) => builder.with_root_certificates(authorities_in(path)?).with_no_client_auth(),
        Trust::System => builder.with_root_certificates(system_authorities()?).with_no_client_auth(),
    };
    Ok(Arc::new(config))
}

fn authorities_in(path: &Path) -> anyhow::Result<RootCertStore> {
    let what = || format!("read the certificates in {}", path.display());
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(path).with_context(what)? {
        roots.add(certificate.with_context(what)?).with_context(what)?;
    }
    if roots.is_empty() {
        bail!("{} holds no certificate", path.display());
    }
    Ok(roots)
}

fn system_authorities() -> anyhow::Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    // Old or odd certificates among the system's are no reason to trust none.
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        bail!("the system has no certificate authorities; install ca-certificates or give --ca FILE");
    }
    Ok(roots)
}

impl Tls {
    /// For the host as it stands in the address.
    pub(crate) fn to(host: &str, config: Arc<ClientConfig>) -> anyhow::Result<Self> {
        let name = ServerName::try_from(host.to_owned()).with_context(|| format!("{host} is no name for TLS"))?;
        Ok(Tls { config, name })
    }

    /// Shakes hands.
    pub(crate) async fn greet(&self, io: &Io, socket: &Socket) -> Result<Session, Answer> {
        io.doing("shaking hands for TLS");
        let failed = |text: String| Answer::Fail(format!("TLS: {text}"));
        let connection = ClientConnection::new(Arc::clone(&self.config), self.name.clone())
            .map_err(|error| failed(error.to_string()))?;
        let mut session = Session { connection };
        let shaken = socket.drive(io, || {
            while session.connection.is_handshaking() {
                session.flush(socket)?;
                if session.connection.is_handshaking() {
                    session.fill(socket)?;
                }
            }
            session.flush(socket)
        });
        match shaken.await {
            Ok(()) => Ok(session),
            Err(error) => Err(failed(plain(&error))),
        }
    }
}

impl Session {
    /// Sends all of `bytes`.
    pub(crate) async fn send(&mut self, io: &Io, socket: &Socket, bytes: &[u8]) -> io::Result<()> {
        self.connection.writer().write_all(bytes)?;
        socket.drive(io, || self.flush(socket)).await
    }

    /// Receives some bytes; 0 at the end.
    pub(crate) async fn receive(&mut self, io: &Io, socket: &Socket, into: &mut [u8]) -> io::Result<usize> {
        let received = socket.drive(io, || {
            loop {
                self.flush(socket)?;
                match self.connection.reader().read(into) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.fill(socket)?,
                    other => return other,
                }
            }
        });
        match received.await {
            // Many servers close without saying so; a body with a length or chunks is checked by those.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(0),
            other => other,
        }
    }

    fn flush(&mut self, socket: &Socket) -> io::Result<()> {
        while self.connection.wants_write() {
            self.connection.write_tls(&mut Now(socket))?;
        }
        Ok(())
    }

    fn fill(&mut self, socket: &Socket) -> io::Result<()> {
        let received = self.connection.read_tls(&mut Now(socket))?;
        if let Err(error) = self.connection.process_new_packets() {
            // The other side is told why, as far as it still listens.
            let _ = self.flush(socket);
            return Err(io::Error::new(io::ErrorKind::InvalidData, error.to_string()));
        }
        if received == 0 && self.connection.is_handshaking() {
            return Err(io::Error::other("the connection was closed"));
        }
        Ok(())
    }
}

/// A socket's operations that do not wait.
struct Now<'s>(&'s Socket);

impl Read for Now<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.0.receive_now(into)
    }
}

impl Write for Now<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.send_now(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// `--insecure`: any certificate will do, though its owner must still hold the key.
#[derive(Debug)]
struct AnyCertificate {
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
