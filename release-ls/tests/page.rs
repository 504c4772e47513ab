//! The page in a real browser: it is not empty, and no text leaves its box, however narrow the window.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::disallowed_methods, reason = "runs the tool and a browser as a person would")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use dir::{Name, Wait};
use store::history::{self, Change, StageTime};
use store::link::{self, Target};
use store::{Manifest, Pin, ReleaseId, Root, listing, pins, staging};

const SOON: Wait = Wait(Duration::from_secs(10));

fn release(root: &Root, number: u64) -> Manifest {
    let id = ReleaseId::new(format!("20261121T0710{number:02}Z-with-a-rather-long-name-{number}")).unwrap();
    let lock = root.lock(SOON, "test").unwrap();
    let build = staging::begin(&lock, id, number, "pipe", "test").unwrap();
    let (bytes, sum) = listing::Writer::new(Vec::new()).finish().unwrap();
    build.dir.create_file("listing", &bytes, 0o600).unwrap();
    let source = serde_json::json!({"kind": "git", "ref": "feature/a-branch-with-a-name-that-goes-on-and-on", "revision": "0123456789abcdef"});
    let manifest = serde_json::json!({
        "id": build.id, "seq": number, "digest": sum.digest, "files": 0, "bytes": number << 24, "by": "deployer",
        "created_at": "2026-11-21T07:10:00Z", "source": source,
    });
    let manifest: Manifest = serde_json::from_value(manifest).unwrap();
    build.publish(&lock, &manifest, "listing").unwrap();
    manifest
}

fn change(to: &Manifest) -> Change {
    Change {
        pipe: format!("pipe{}", to.seq),
        link: Name::new("current").unwrap(),
        from: None,
        to: to.id.clone(),
        to_seq: Some(to.seq),
        digest: Some(to.digest.clone()),
        target: format!("releases/{}", to.id),
        reason: Some("a reason that is told at some length, with averyverylongwordthatnobodywouldbreak".into()),
        stages: vec![StageTime { tool: "svc-restart".into(), elapsed_ms: 1000 * to.seq }],
        at: SystemTime::now() - Duration::from_secs(86_400 * (20 - to.seq)),
    }
}

fn scene(path: &Path) -> Root {
    let root = Root::create(path, false).unwrap().0;
    for number in 1..=12 {
        let manifest = release(&root, number);
        let lock = root.lock(SOON, "test").unwrap();
        let intent = history::intent(&lock, change(&manifest)).unwrap();
        link::replace(&lock, &Name::new("current").unwrap(), &Target::release(manifest.id.clone())).unwrap();
        history::done(&lock, intent, change(&manifest).at).unwrap();
        if number % 4 == 3 {
            history::bad(&lock, change(&manifest)).unwrap();
        } else {
            history::good(&lock, change(&manifest)).unwrap();
        }
        if number == 5 {
            let until = "2099-01-01T00:00:00Z".to_owned();
            let (id, set_at) = (manifest.id, until.clone());
            pins::set(&lock, &Pin { id, until, owner: "ann".into(), reason: "kept for an audit".into(), set_at })
                .unwrap();
        }
    }
    root
}

fn browser() -> Option<PathBuf> {
    let found = ["chromium", "chromium-browser", "google-chrome"].map(|name| Path::new("/usr/bin").join(name));
    found.into_iter().find(|path| path.exists())
}

fn look(browser: &Path, profile: &Path, page: &Path, more: &[&str]) -> Vec<u8> {
    let mut command = Command::new(browser);
    command.args(["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]).args(more);
    command.arg(format!("--user-data-dir={}", profile.display())).arg(format!("file://{}", page.display()));
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// Added to a copy of the page: names every element whose text is wider than its box and would not scroll.
const RULER: &str = "<script>
const wide = [...document.querySelectorAll('h1,h2,h3,p,li,td,th,.axis,.key,.axis span')]
  .filter(e => e.scrollWidth > e.clientWidth + 1 && getComputedStyle(e).display != 'inline')
  .concat(document.documentElement.scrollWidth > innerWidth + 1 ? [document.documentElement] : []);
document.title = 'wide: ' + wide.map(e => e.tagName + ' ' + e.textContent.slice(0, 40)).join(' | ');
</script>";

#[test]
fn the_page_is_not_empty_and_no_text_leaves_its_box() {
    let temporary = tempfile::tempdir().unwrap();
    let root = scene(&temporary.path().join("shop"));
    let page = temporary.path().join("page.html");
    let output = Command::new(env!("CARGO_BIN_EXE_release-ls")).arg("--html").arg(root.path()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    fs::write(&page, &output.stdout).unwrap();
    let Some(browser) = browser() else {
        skip::note("no chromium in /usr/bin");
        return;
    };
    let profile = temporary.path().join("profile");
    let shot = temporary.path().join("shot.png");
    let screenshot = format!("--screenshot={}", shot.display());
    look(&browser, &profile, &page, &["--window-size=1280,1000", &screenshot]);
    // A page of one colour compresses to a tenth of this.
    assert!(fs::metadata(&shot).unwrap().len() > 40_000, "the screenshot is nearly empty");

    let ruled = temporary.path().join("ruled.html");
    fs::write(&ruled, [&output.stdout[..], RULER.as_bytes()].concat()).unwrap();
    for width in [1600, 1280, 800, 500] {
        let dom = look(&browser, &profile, &ruled, &[&format!("--window-size={width},1000"), "--dump-dom"]);
        let dom = String::from_utf8_lossy(&dom);
        let title = dom.split("<title>").nth(1).and_then(|rest| rest.split("</title>").next()).unwrap_or("no title");
        assert_eq!(title, "wide: ", "at {width} pixels");
    }
}
