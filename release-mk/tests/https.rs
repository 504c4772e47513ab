//! A repository over https: by a real server, which may lead nowhere else.
#![expect(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests make files and run programs")]

mod site;

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use site::{Run, Site};

/// Serves its directory over TLS, says its port, and sends whoever asks for `away` to an unencrypted address.
const SERVER: &str = "
import http.server, ssl, threading
class Handler(http.server.SimpleHTTPRequestHandler):
    def do_GET(self):
        if not self.path.startswith('/away'): return super().do_GET()
        self.send_response(301)
        self.send_header('Location', 'http://127.0.0.1:%d/repository%s' % (plain.server_port, self.path[5:]))
        self.send_header('Content-Length', '0')
        self.end_headers()
    def log_message(self, *words): pass
plain = http.server.HTTPServer(('127.0.0.1', 0), Handler)
threading.Thread(target=plain.serve_forever, daemon=True).start()
server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain('certificate', 'key')
server.socket = context.wrap_socket(server.socket, server_side=True)
print(server.server_port, flush=True)
server.serve_forever()
";

struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn sh(dir: &Path, script: &str) -> bool {
    let mut command = Command::new("sh");
    command.args(["-c", script]).current_dir(dir).env("GIT_CONFIG_GLOBAL", "/dev/null");
    command.output().is_ok_and(|output| output.status.success())
}

#[test]
fn a_repository_comes_over_https_and_is_led_to_no_other_protocol() {
    let site = Site::new();
    let serves = "git --exec-path >/dev/null && [ -e $(git --exec-path)/git-remote-https ] && python3 --version && \
                  openssl req -x509 -newkey rsa:2048 -nodes -keyout key -out certificate -days 2 -subj /CN=127.0.0.1 \
                  -addext subjectAltName=IP:127.0.0.1";
    if !sh(site.dir.path(), serves) {
        skip::note("git with https, python3 and openssl are needed for a server");
        return;
    }
    let made = "git init -q -b main tree && cd tree && echo one >f && git add f && \
                git -c user.name=n -c user.email=e commit -q -m one && cd .. && \
                git clone -q --bare tree repository && git -C repository update-server-info";
    assert!(sh(site.dir.path(), made));
    let mut server = Command::new("python3");
    server.args(["-c", SERVER]).current_dir(site.dir.path()).stdin(Stdio::null()).stdout(Stdio::piped());
    let mut server = Server(server.spawn().unwrap());
    let mut port = String::new();
    BufReader::new(server.0.stdout.take().unwrap()).read_line(&mut port).unwrap();
    let fetch = |path: &str, id: &str, trusted: bool| {
        let mut command = site.command();
        command.arg("--from").arg(format!("https://ann:canary@127.0.0.1:{}/{path}", port.trim()));
        command
            .args(["--ref", "main", "--name", id])
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env_remove("GIT_SSL_NO_VERIFY");
        if trusted {
            command.env("GIT_SSL_CAINFO", site.path("certificate"));
        }
        let run = Run::of(&command.output().unwrap());
        assert!(!run.stderr.contains("canary") && !run.record.to_string().contains("canary"), "{}", run.stderr);
        run
    };
    let run = fetch("repository", "v1", true).expect(0);
    let told = format!("https://127.0.0.1:{}/repository", port.trim());
    assert_eq!(run.record["release"]["source"]["repository"], told.as_str());
    assert_eq!(std::fs::read_to_string(site.path("root/releases/v1/f")).unwrap(), "one\n");
    assert_eq!(fetch("repository", "v2", false).expect(1).code(), "mk.git", "a certificate that nobody vouches for");
    let away = fetch("away", "v3", true).expect(1);
    assert!(away.code() == "mk.git" && away.stderr.contains("rotocol"), "https was left: {}", away.stderr);
    assert_eq!(site.state()[0], ["v1"]);
}
