//! What the documents show: blocks marked `sh run` are run, and those marked `sh script` as a file; the others are read by a
//! shell, and every option is one.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use stories::real::systemd::Systemd;
use stories::{Run, Shop, binaries, skip};

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

/// A machine as the documents expect it: units and tools are installed, `/srv/shop` is empty, `build/` can be deployed,
/// `shop@1` and `shop@2` listen on 8001 and 8002, and ssh runs here what the key of docs/ci.md may run, whatever it is told.
fn machine(shop: &Shop) -> Result<Systemd, String> {
    shop.source("build");
    let unit = shop_unit(shop).replace(&shop.root().display().to_string(), "/srv/shop");
    let unit = unit.replace(&format!(" {}%i", shop.services().port(0) / 10), " 800%i");
    let systemd = Systemd::boot(shop, &[("shop@.service", &unit)])?;
    let pipelines = fs::read_to_string(binaries::workspace().join("docs/ci.md")).expect("read of pipelines");
    let forced = pipelines.split_once("restrict,command=\"").and_then(|(_, rest)| rest.split_once('"'));
    let forced = forced.expect("a forced command").0.replace('$', "\\$");
    let prepare = format!(
        "set -e
        cp {units}/* /etc/systemd/system/
        cp {tools}/release-gc {tools}/svc-health /usr/bin/
        mkdir -p $ROOT /srv/shop
        mount --bind $ROOT /srv/shop
        printf '#!/bin/sh\\nshift\\nexport SSH_ORIGINAL_COMMAND=\"$*\"\\nexec sh -c \"%s\"\\n' '{forced}' >/usr/local/bin/ssh
        chmod 755 /usr/local/bin/ssh",
        units = binaries::workspace().join("share/systemd").display(),
        tools = binaries::directory().display()
    );
    systemd.pipe(shop, prepare).run().exits(0);
    Ok(systemd)
}

#[test]
fn what_is_marked_to_be_run_runs() {
    let mut ran = 0;
    for (name, document) in documents() {
        // A whole script is put into a file and run from there.
        let scripts = blocks(&document, &["sh script"]).into_iter().map(|script| {
            format!("cat >deploy-script <<'END'\n{script}\nEND\nchmod +x deploy-script\n./deploy-script\n")
        });
        let blocks: Vec<String> = scripts.chain(blocks(&document, &["sh run"])).collect();
        if blocks.is_empty() {
            continue;
        }
        let shop = Shop::new();
        let systemd = match machine(&shop) {
            Ok(systemd) => systemd,
            Err(why) => skip!("{why}"),
        };
        // What another tool left, for those who come from there.
        let left = "mkdir -p $ROOT/releases/20260101000000 && echo old >$ROOT/releases/20260101000000/version && \
                    echo ok >$ROOT/releases/20260101000000/mode && ln -s releases/20260101000000 $ROOT/current";
        if name == "migration.md" {
            shop.pipe(left).run().exits(0);
        }
        for block in blocks {
            let run = systemd.pipe(&shop, &block).shell(&["dash", "-e", "-c"]).run();
            assert_eq!(run.status, 0, "{name}\n{run}");
            check_quick_start(&name, &block, &run);
            ran += 1;
        }
    }
    assert!(ran >= 15, "only {ran} blocks were found");
}

/// What the quick start says that one sees.
fn check_quick_start(name: &str, block: &str, run: &Run) {
    let sees = |text: &str| assert!(run.stdout.contains(text), "{text} is not seen\n{run}");
    match block {
        _ if name != "quick-start.md" => {}
        _ if block.contains("hello, three") => {
            sees("exit status 3");
            sees("hello, two");
        }
        _ if block.contains("hello, two") => sees("hello, two"),
        _ if block.contains("--rollback >") => sees("hello, one"),
        _ if block.contains("list-timers") => sees("release-gc: kept"),
        _ => {}
    }
}

#[test]
fn what_is_shown_is_read_by_a_shell() {
    let shop = Shop::new();
    for (name, document) in documents() {
        for block in blocks(&document, &["sh", "sh run", "sh script"]) {
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
    // The recipes name tools by functions of their own, and have stories that run them.
    for (name, document) in documents().into_iter().filter(|(name, _)| name != "recipes.md") {
        // A block line by line, and every span of code: the text between backticks.
        let joined = document.replace("\\\n", " ").replace("```", "\n");
        for span in joined.lines().flat_map(|line| line.split('`')) {
            let named: Vec<&str> = TOOLS.iter().copied().filter(|tool| span.contains(tool)).collect();
            let begins = span.trim_start().starts_with("--");
            let others = ["systemctl", "systemd-run", "journalctl"].iter().any(|other| span.contains(other));
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

/// The names by which a heading can be reached, as forges and mdBook make them.
fn anchors(document: &str) -> Vec<String> {
    let mut in_block = false;
    let headings = document.lines().filter(|line| {
        in_block ^= line.starts_with("```");
        !in_block && line.starts_with('#')
    });
    let kept = |c: char| c.is_alphanumeric() || c == '-' || c == '_' || c == ' ';
    headings
        .map(|line| line.trim_start_matches('#').trim().chars().filter(|c| kept(*c)).collect::<String>())
        .map(|text| text.to_lowercase().replace(' ', "-"))
        .collect()
}

/// Where the links of a document lead, blocks of code aside.
fn links(document: &str) -> Vec<String> {
    let mut in_block = false;
    let prose = document.lines().filter(|line| {
        in_block ^= line.starts_with("```");
        !in_block
    });
    let parts = prose.flat_map(|line| line.split("](").skip(1).map(str::to_owned).collect::<Vec<_>>());
    parts.filter_map(|part| part.split_once(')').map(|(target, _)| target.to_owned())).collect()
}

#[test]
fn every_link_leads_somewhere() {
    let top = binaries::workspace();
    let mut followed = 0;
    for (name, document) in documents() {
        let in_book = name != "README.md";
        let folder = if in_book { top.join("docs") } else { top.clone() };
        for link in links(&document).into_iter().filter(|link| !link.contains("://")) {
            let (path, anchor) = link.split_once('#').unwrap_or((&link, ""));
            let target = if path.is_empty() { folder.join(&name) } else { folder.join(path) };
            assert!(target.exists(), "{name}: {link} leads nowhere");
            assert!(!in_book || !path.starts_with(".."), "{name}: {link} leads out of the book");
            if !anchor.is_empty() {
                let there = fs::read_to_string(&target).expect("read the target of a link");
                assert!(anchors(&there).iter().any(|one| one == anchor), "{name}: {link} has no such heading");
            }
            followed += 1;
        }
    }
    assert!(followed > 40, "only {followed} links were found");
}

#[test]
fn the_book_has_every_page_and_no_other() {
    let all = documents();
    let listed: Vec<String> = links(&all["SUMMARY.md"]);
    for page in all.keys().filter(|name| !["README.md", "SUMMARY.md"].contains(&name.as_str())) {
        assert!(listed.contains(page), "docs/SUMMARY.md does not list {page}");
    }
    for page in &listed {
        assert!(all.contains_key(page), "docs/SUMMARY.md lists {page}, which is not in docs/");
    }
}
