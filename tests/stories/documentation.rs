//! What the documents show: blocks marked `sh run` are run, the others are read by a shell, and every option is one.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use stories::real::systemd::Systemd;
use stories::{Shop, binaries, skip};

use crate::real_systemd_boots::shop_unit;

const TOOLS: [&str; 9] = [
    "release-gc",
    "release-lock",
    "release-ls",
    "release-mk",
    "release-pin",
    "release-switch",
    "svc-health",
    "svc-restart",
    "svc-route",
];

/// The README and everything in docs/, by name.
fn documents() -> BTreeMap<String, String> {
    let top = binaries::workspace();
    let entries = fs::read_dir(top.join("docs")).expect("list the documents").flatten().map(|entry| entry.path());
    let found: Vec<PathBuf> = entries.filter(|path| path.extension().is_some_and(|end| end == "md")).collect();
    let all = found.into_iter().chain([top.join("README.md")]);
    all.map(|path| (path.file_name().expect("a name").display().to_string(), fs::read_to_string(&path).expect("read")))
        .collect()
}

/// The blocks whose fence has one of these marks.
fn blocks(document: &str, marks: &[&str]) -> Vec<String> {
    let mut parts = document.split("\n```");
    let _before = parts.next();
    let fenced = parts.step_by(2).filter_map(|block| block.split_once('\n'));
    fenced.filter(|(mark, _)| marks.contains(mark)).map(|(_, text)| text.to_owned()).collect()
}

#[test]
fn what_is_marked_to_be_run_runs() {
    let mut ran = 0;
    for (name, document) in documents() {
        let blocks = blocks(&document, &["sh run"]);
        if blocks.is_empty() {
            continue;
        }
        let shop = Shop::new();
        shop.source("build");
        let systemd = match Systemd::boot(&shop, &[("shop@.service", &shop_unit(&shop))]) {
            Ok(systemd) => systemd,
            Err(why) => skip!("{why}"),
        };
        // What another tool left, for those who come from there.
        let left = "mkdir -p $ROOT/releases/20260101000000 && echo old >$ROOT/releases/20260101000000/version && \
                    echo ok >$ROOT/releases/20260101000000/mode && ln -s releases/20260101000000 $ROOT/current";
        if name == "migration.md" {
            shop.pipe(left).run().exits(0);
        }
        let (root, ports) = (shop.root().display().to_string(), shop.services().port(0) / 10);
        for block in blocks {
            let script = block.replace("/srv/shop", &root).replace("127.0.0.1:800", &format!("127.0.0.1:{ports}"));
            systemd.pipe(&shop, script).shell(&["dash", "-e", "-c"]).run().exits(0);
            ran += 1;
        }
    }
    assert!(ran >= 5, "only {ran} blocks were found");
}

#[test]
fn what_is_shown_is_read_by_a_shell() {
    let shop = Shop::new();
    for (name, document) in documents() {
        for block in blocks(&document, &["sh", "sh run"]) {
            let run = shop.pipe("dash -n").stdin(block).run();
            assert_eq!(run.status, 0, "{name}\n{run}");
        }
    }
}

#[test]
fn every_option_shown_is_one() {
    let shop = Shop::new();
    let helps: BTreeMap<&str, String> =
        TOOLS.iter().map(|tool| (*tool, shop.pipe(format!("{tool} --help")).run().exits(0).stdout.clone())).collect();
    let has = |tool: &str, option: &str| {
        helps[tool].split(|c: char| !c.is_ascii_alphanumeric() && c != '-').any(|word| word == option)
    };
    let mut checked = 0;
    for (name, document) in documents() {
        // A block line by line, and every span of code: the text between backticks.
        let joined = document.replace("\\\n", " ").replace("```", "\n");
        for span in joined.lines().flat_map(|line| line.split('`')) {
            let named: Vec<&str> = TOOLS.iter().copied().filter(|tool| span.contains(tool)).collect();
            let begins = span.trim_start().starts_with("--");
            let others = span.contains("systemctl") || span.contains("systemd-run");
            if others || (named.is_empty() && !begins) {
                continue;
            }
            let words = span.split(|c: char| !c.is_ascii_alphanumeric() && c != '-');
            for option in words.filter(|word| word.starts_with("--") && word.len() > 2) {
                let asked = if named.is_empty() { TOOLS.to_vec() } else { named.clone() };
                assert!(asked.iter().any(|tool| has(tool, option)), "{name}: {option} of {asked:?} in\n{span}");
                checked += 1;
            }
        }
    }
    assert!(checked > 50, "only {checked} options were found");
}
