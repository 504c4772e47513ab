//! Real application servers that take up a release by themselves when they get a signal: gunicorn, unicorn, puma.
//!
//! Each is the instance `shop@1`, runs from `$ROOT/current`, listens on the shop's first port with two workers and ends
//! with the story.

use std::fs;
use std::path::PathBuf;

use crate::real::managed::APPLICATION;
use crate::{Pipe, Shop, skip};

/// The same application as for gunicorn, for Ruby's servers.
const RACK: &str = r##"version = File.read('version').strip
main = Process.ppid
Thread.new do
  File.open(ENV['SERVICES'] + '/alive') do |alive|
    alive.flock(File::LOCK_SH)
    Process.kill(:KILL, main) if main > 1 && Process.ppid == main
    exit!
  end
end
run lambda { |_| [200, { 'content-type' => 'text/plain' }, ["#{version} #{Process.pid}\n"]] }
"##;

const UNICORN: &str = "root, services, ports = ENV.values_at('ROOT', 'SERVICES', 'PORTS')
working_directory \"#{root}/current\"
listen \"127.0.0.1:#{ports}1\"
pid \"#{services}/shop@1.pid\"
stderr_path \"#{services}/shop@1.log\"
worker_processes 2
";

const PUMA: &str = "root, services, ports = ENV.values_at('ROOT', 'SERVICES', 'PORTS')
directory \"#{root}/current\"
bind \"tcp://127.0.0.1:#{ports}1\"
pidfile \"#{services}/shop@1.pid\"
workers 2
# Else a worker that ends hangs up on those whose request it has not read yet.
queue_requests false
";

/// What is run: a program, and how it is started.
#[derive(Debug, Clone, Copy)]
pub struct Kind {
    program: &'static str,
    start: &'static str,
}

/// gunicorn, with `--chdir`, so that HUP too enters the release anew.
pub const GUNICORN: Kind = Kind {
    program: "gunicorn",
    start: "cd $ROOT/current && PWD=$ROOT/current PORT=${PORTS}1 exec gunicorn -D -w 2 -b 127.0.0.1:${PORTS}1 \
            --chdir $ROOT/current -p $SERVICES/shop@1.pid --log-file $SERVICES/shop@1.log app:app",
};
/// gunicorn, listening also on `$SERVICES/web.sock`.
pub const GUNICORN_ON_A_UNIX_SOCKET: Kind = Kind {
    program: "gunicorn",
    start: "cd $ROOT/current && PWD=$ROOT/current PORT=${PORTS}1 exec gunicorn -D -w 2 -b 127.0.0.1:${PORTS}1 -b unix:$SERVICES/web.sock \
            --chdir $ROOT/current -p $SERVICES/shop@1.pid --log-file $SERVICES/shop@1.log app:app",
};
/// unicorn.
pub const UNICORN_SERVER: Kind = Kind {
    program: "unicorn",
    start: "cd $ROOT/current && PWD=$ROOT/current exec unicorn -D -c $HOME/unicorn.rb $ROOT/current/config.ru",
};
/// puma with two workers and without a preloaded application, so that it can restart in phases.
pub const PUMA_SERVER: Kind = Kind {
    program: "puma",
    start: "cd $ROOT/current && { PWD=$ROOT/current setsid puma -C $HOME/puma.rb >$SERVICES/shop@1.log 2>&1 </dev/null & }",
};

/// A shop served by one of them.
#[derive(Debug)]
pub struct Server {
    shop: Shop,
    kind: Kind,
}

impl Server {
    /// A shop with v1 live and served. `Err` says why that cannot be on this machine.
    pub fn start(kind: Kind) -> Result<Self, String> {
        if !skip::has(kind.program) {
            return Err(format!("{} is not installed", kind.program));
        }
        let server = Self { shop: Shop::new(), kind };
        server.shop.write("unicorn.rb", UNICORN);
        server.shop.write("puma.rb", PUMA);
        server.switch("v1");
        server.pipe("manage -n --action start --gate \"$(answers v1)\"").run().exits(0);
        Ok(server)
    }

    /// The shop.
    pub fn shop(&self) -> &Shop {
        &self.shop
    }

    /// Makes a release of this version and switches to it; the server is not told.
    pub fn switch(&self, version: &str) -> PathBuf {
        let source = self.shop.source(version);
        fs::write(source.join("app.py"), APPLICATION).expect("write a source");
        fs::write(source.join("config.ru"), RACK).expect("write a source");
        self.shop.root().join("releases").join(self.shop.deploy(version))
    }

    /// A script with two functions: `manage`, svc-restart for this server, to which `--signals` is added, and `answers
    /// VERSION`, which prints a gate that waits until this version answers.
    pub fn pipe(&self, script: &str) -> Pipe {
        let functions = format!(
            "manage() {{ svc-restart --via signal shop@1 --pidfile $SERVICES/shop@1.pid --command 'start={}' \"$@\"; }}\n\
             answers() {{ echo \"svc-health http://127.0.0.1:${{PORTS}}1/ --wait 20s --interval 20ms --expect-body $1\"; }}\n",
            self.kind.start
        );
        self.shop.pipe(functions + script)
    }
}
