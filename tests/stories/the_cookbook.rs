//! The cookbook as it stands: its files are put where they say, its commands are run, on a machine for each recipe.
//!
//! A block marked `file` begins with its own name. One marked `root`, `deploy` or `shop` is run as that user, one marked
//! `traefik` on a machine of its own where a double listens. What a reader brings, the application, is made here.

use std::fs;

use stories::real::systemd::Systemd;
use stories::{Shop, binaries, skip};

/// A block: the words of its fence after the language, and its text.
struct Block {
    mark: String,
    text: String,
}

/// The blocks of a section.
fn blocks(section: &str) -> Vec<Block> {
    let book = fs::read_to_string(binaries::workspace().join("docs/cookbook.md")).expect("read the cookbook");
    let mut parts = book.split("\n## ").filter(|part| part.starts_with(&format!("{section}\n")));
    let text = parts.next().unwrap_or_else(|| panic!("the cookbook has no section {section}"));
    let fenced = text.split("\n```").skip(1).step_by(2).filter_map(|block| block.split_once('\n'));
    fenced
        .filter_map(|(info, text)| {
            let (_, mark) = info.split_once(' ')?;
            Some(Block { mark: mark.to_owned(), text: text.to_owned() })
        })
        .collect()
}

/// The tools and recipes where `make install` and a reader put them.
const INSTALLED: &str = "set -e
for tool in $TOOLS/release-* $TOOLS/svc-*; do ln -sf $tool /usr/local/bin/; done
for recipe in primary-backup rolling blue-green canary unicorn pull; do ln -sf $RECIPES/$recipe /usr/local/bin/; done
mkdir -p /usr/local/share/cutover/recipes && cp $RECIPES/* /usr/local/share/cutover/recipes/
rm -f /etc/nginx/sites-enabled/default
export GIT_AUTHOR_NAME=Ann GIT_AUTHOR_EMAIL=ann@example.org GIT_COMMITTER_NAME=Ann GIT_COMMITTER_EMAIL=ann@example.org
# An application: program NAME, which serves from its own release on the port it is told.
application() {
    mkdir -p $1/bin && echo $3 >$1/version && echo ok >$1/mode && printf 'all:\\n' >$1/Makefile
    printf '#!/bin/sh\\ncd \"$(dirname \"$0\")/..\" && exec %s ${1:-$PORT} /run/web.${1:-$PORT} %s\\n' $SERVICE $ALIVE >$1/bin/$2
    chmod +x $1/bin/$2
}
committed() { (cd $1 && { [ -d .git ] || git init -q -b main; } && git add -A && git commit -q -m \"$2\" && git tag \"$2\"); }
";

/// Puts the section's files in place and runs its commands in their order; the machine, to look at.
fn told(shop: &Shop, section: &str, given: &str, commands: &[&str]) -> Result<Systemd, String> {
    let systemd = Systemd::boot(shop, &[])?;
    let pipe = |text: &str| {
        systemd
            .pipe(shop, text)
            .env("TOOLS", binaries::directory().display().to_string())
            .env("RECIPES", binaries::workspace().join("scripts/recipes").display().to_string())
            .env("REAL", binaries::workspace().join("tests/real").display().to_string())
            .env("SERVICE", binaries::directory().join("shop-service").display().to_string())
            .env("DOUBLE", binaries::directory().join("shop-traefik").display().to_string())
            .env("ALIVE", shop.services().dir().join("alive").display().to_string())
    };
    let blocks = blocks(section);
    let mut ran = 0;
    pipe(&format!("{INSTALLED}{given}")).run().exits(0);
    for Block { text, .. } in blocks.iter().filter(|block| block.mark.starts_with("file")) {
        let name = text.lines().next().and_then(|line| line.strip_prefix("# ")).expect("a file begins with its name");
        let (name, owner) = match name.strip_prefix("~/") {
            Some(rest) => (format!("/home/shop/{rest}"), "shop:"),
            None => (name.to_owned(), "root:"),
        };
        let place =
            format!("set -e; umask 022; d=$(dirname {name}); mkdir -p $d; cat >{name}; chown {owner} {name} $d");
        pipe(&place).stdin(format!("{text}\n")).run().exits(0);
    }
    pipe("chown -R shop: /home/shop 2>/dev/null; systemctl daemon-reload").run().exits(0);
    for Block { mark, text } in blocks.iter().filter(|block| commands.contains(&block.mark.as_str())) {
        // The stories' own variables are no reader's.
        let text = format!("unset GATE PORTS ADDRESS SERVICES ROOT\n{text}");
        let script = match mark.as_str() {
            "root" | "traefik" => pipe(&text),
            user => {
                let words = ["setpriv", "--reuid", user, "--regid", user, "--init-groups"];
                let home = format!("/home/{user}");
                let user = systemd.pipe(shop, format!("id -u {user}")).run().exits(0).stdout.trim().to_owned();
                let pipe = shop.pipe(text).under(words).under(systemd.enter(shop));
                pipe.env("HOME", home).env("XDG_RUNTIME_DIR", format!("/run/user/{user}"))
            }
        };
        // For a machine under load, and for a reader without ten minutes.
        let script = script.shell(&["dash", "-e", "-c"]).env("STABLE", "200ms").env("PAUSE", "200ms");
        let run = script.deadline(std::time::Duration::from_secs(200)).run();
        let journal = || pipe("journalctl -q --no-pager -n 40").run().stdout;
        assert!(run.status == 0, "{section}\n{run}\n{}", journal());
        ran += 1;
    }
    assert!(ran > 0, "nothing to run in {section}");
    Ok(systemd)
}

/// What a URL answers on the machine.
fn answer(systemd: &Systemd, shop: &Shop, url: &str) -> String {
    let said = systemd.pipe(shop, format!("curl -s --max-time 5 {url}")).run().stdout;
    said.split(' ').next().unwrap_or_default().to_owned()
}

fn lacks(programs: &[&str]) -> Option<String> {
    let program = programs.iter().find(|program| !skip::has(program))?;
    Some(format!("{program} is not installed"))
}

#[test]
fn primary_backup_is_told_as_it_is() {
    if let Some(why) = lacks(&["nginx", "git", "make", "sudo", "useradd", "curl", "python3"]) {
        skip!("{why}");
    }
    // A runtime that takes a jar; this one is Python's.
    let given = "useradd -m deploy
printf '#!/bin/sh\\nexec /usr/bin/python3 \"$2\" \"$3\" %s\\n' $ALIVE >/usr/bin/java && chmod +x /usr/bin/java
r=/srv/shop/shared/repository && mkdir -p $r/src && cp $REAL/jar/Makefile $r/ && cp $REAL/jar/__main__.py $r/src/
for v in 1.4 1.5; do printf \"VERSION = '%s'\\nSTATUS = 200\\n\" $v >$r/src/version.py; committed $r $v; done
chown -R deploy: /srv/shop";
    let shop = Shop::new();
    let systemd = match told(&shop, "primary-backup", given, &["root", "deploy"]) {
        Ok(systemd) => systemd,
        Err(why) => skip!("{why}"),
    };
    for port in [8001, 8002, 8080] {
        assert_eq!(answer(&systemd, &shop, &format!("http://127.0.0.1:{port}/")), "1.4", "rolled back to it");
    }
    systemd.pipe(&shop, "systemctl stop 'shop@*' && systemctl start shop-boot").run().exits(0);
    assert_eq!(answer(&systemd, &shop, "http://127.0.0.1:8080/"), "1.4", "as at boot");
}

#[test]
fn rolling_is_told_as_it_is() {
    if let Some(why) = lacks(&["supervisord", "haproxy", "socat", "git", "make", "curl"]) {
        skip!("{why}");
    }
    let given = "for e in shop staging; do
    application /srv/$e/shared/repository web $e && committed /srv/$e/shared/repository 1
done
mkdir -p /run/haproxy /etc/systemd/system/haproxy.service.d
printf '[Service]\nBindReadOnlyPaths=\n' >/etc/systemd/system/haproxy.service.d/no-syslog-here.conf";
    let shop = Shop::new();
    let systemd = match told(&shop, "rolling", given, &["root"]) {
        Ok(systemd) => systemd,
        Err(why) => skip!("{why}"),
    };
    // Each environment has its own releases, link and traffic.
    assert_eq!(answer(&systemd, &shop, "http://127.0.0.1:8080/"), "shop");
    assert_eq!(answer(&systemd, &shop, "http://127.0.0.1:8081/"), "staging");
    let releases = |root: &str| {
        let run = systemd.pipe(&shop, format!("ls /srv/{root}/releases")).run();
        run.exits(0).stdout.lines().count()
    };
    assert_eq!((releases("shop"), releases("staging")), (3, 1));
}

const ZIPS: &str = "for n in 1 2 3; do
    application app-$n shop $n && (cd app-$n && python3 -m zipfile -c ../shop-$n.zip bin version mode)
done";

#[test]
fn blue_green_and_canary_are_told_as_they_are() {
    if let Some(why) = lacks(&["nginx", "curl", "python3"]) {
        skip!("{why}");
    }
    let shop = Shop::new();
    let systemd = match told(&shop, "blue-green and canary", ZIPS, &["root"]) {
        Ok(systemd) => systemd,
        Err(why) => skip!("{why}"),
    };
    assert_eq!(answer(&systemd, &shop, "http://127.0.0.1:8080/"), "3");
    let wrong = "CUTOVER_ROOT=/srv/shop blue-green shop-1.zip $(printf %064d 0)";
    let run = systemd.pipe(&shop, wrong).run();
    assert_ne!(run.status, 0, "the checksum is another one's\n{run}");
    assert_eq!(answer(&systemd, &shop, "http://127.0.0.1:8080/"), "3", "{run}");
}

#[test]
fn traefik_is_told_as_its_double_is() {
    if let Some(why) = lacks(&["curl", "python3"]) {
        skip!("{why}");
    }
    let given = format!("{ZIPS}\nsystemd-run -q $DOUBLE /etc/traefik/dynamic/shop.yml 8080 9090");
    let shop = Shop::new();
    let systemd = match told(&shop, "blue-green and canary", &given, &["traefik"]) {
        Ok(systemd) => systemd,
        Err(why) => skip!("{why}"),
    };
    assert_eq!(answer(&systemd, &shop, "http://127.0.0.1:8080/"), "2");
}

#[test]
fn unicorn_is_told_as_it_is() {
    if let Some(why) = lacks(&["gunicorn", "git", "useradd", "curl"]) {
        skip!("{why}");
    }
    let given = "useradd -m shop
r=/home/shop/shop/shared/repository && mkdir -p $r && cp $REAL/web/app.py $r/ && echo 1 >$r/version && echo 200 OK >$r/status
committed $r 1 && chown -R shop: /home/shop
systemctl start user@$(id -u shop)";
    let shop = Shop::new();
    let systemd = match told(&shop, "unicorn", given, &["shop"]) {
        Ok(systemd) => systemd,
        Err(why) => skip!("{why}"),
    };
    assert_eq!(answer(&systemd, &shop, "http://127.0.0.1:8000/"), "1");
}

#[test]
fn pull_is_told_as_it_is() {
    if let Some(why) = lacks(&["git", "make", "curl"]) {
        skip!("{why}");
    }
    let given = "application /srv/mirror.git mirror 1 && committed /srv/mirror.git 1";
    let shop = Shop::new();
    let systemd = match told(&shop, "pull", given, &["root"]) {
        Ok(systemd) => systemd,
        Err(why) => skip!("{why}"),
    };
    for port in [8001, 8002] {
        assert_eq!(answer(&systemd, &shop, &format!("http://127.0.0.1:{port}/")), "1");
    }
    assert_eq!(systemd.systemctl(&shop, "is-active mirror-pull.timer"), "active");
    // What comes later is brought live by the timer's own service.
    let next = "cd /srv/mirror.git && echo 2 >version && git -c user.name=Ann -c user.email=ann@example.org commit -qam 2 && \
                systemctl start mirror-pull.service";
    systemd.pipe(&shop, next).run().exits(0);
    assert_eq!(answer(&systemd, &shop, "http://127.0.0.1:8002/"), "2");
}
