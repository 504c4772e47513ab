//! The binaries under test, built once per test process from the sources as they are now.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// The directory of freshly built binaries: every tool, `shop-service` and `shop-manager`.
///
/// Builds them at the first call, unless `CUTOVER_TEST_BINARIES` names a directory of others (a release build, an
/// installed package). They are linked out of cargo's own directory, so that a build that somebody
/// starts meanwhile does not pull a binary from under a running story. Panics when the build fails.
pub fn directory() -> &'static Path {
    static DIRECTORY: OnceLock<PathBuf> = OnceLock::new();
    DIRECTORY.get_or_init(|| match std::env::var_os("CUTOVER_TEST_BINARIES") {
        Some(given) => {
            crate::skip::note("building: CUTOVER_TEST_BINARIES names the binaries, which may be stale");
            given.into()
        }
        None => shelf("bin", &["--workspace"], false),
    })
}

/// The same binaries with the bugs of dir/src/planted.rs in them, which CUTOVER_PLANTED chooses from.
pub fn planted() -> &'static Path {
    static DIRECTORY: OnceLock<PathBuf> = OnceLock::new();
    DIRECTORY.get_or_init(|| {
        let tools = ["mk", "switch", "gc", "pin", "lock"].map(|tool| format!("release-{tool}"));
        let services = ["health", "restart", "route"].map(|tool| format!("svc-{tool}"));
        let mut words = vec!["--features", "dir/planted"];
        tools.iter().chain(&services).for_each(|tool| words.extend(["-p", tool.as_str()]));
        let planted = shelf("planted", &words, true);
        // What the stories bring themselves has no bugs to plant.
        for own in ["shop-service", "shop-manager", "shop-client"] {
            place(&directory().join(own), &planted);
        }
        planted
    })
}

/// Whether a binary has bugs to choose from.
pub fn has_planted_bugs(binary: &Path) -> bool {
    let bytes = fs::read(binary).unwrap_or_else(|error| panic!("read {}: {error}", binary.display()));
    let name = b"CUTOVER_PLANTED";
    bytes.windows(name.len()).any(|window| window == name)
}

/// The top of the workspace.
pub fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ lies in the workspace").to_owned()
}

/// Cargo's target directory, the one this very test was built into.
pub fn target() -> PathBuf {
    let exe = std::env::current_exe().expect("path of the running test");
    // …/target/PROFILE/deps/stories-HASH
    let target = exe.ancestors().nth(3).filter(|target| target.join("CACHEDIR.TAG").exists());
    // A machine of a story has it in common with the real one: anything else would lay that open.
    target.expect("a test lies in target/PROFILE/deps, and runs only there").to_owned()
}

/// Builds what these words of cargo say, onto the shelf of this name.
fn shelf(name: &str, words: &[&str], with_bugs: bool) -> PathBuf {
    let (workspace, target) = (workspace(), target());
    let shelf = target.join("stories");
    fs::create_dir_all(&shelf).expect("make the shelf for binaries");
    let lock = File::create(shelf.join("lock")).expect("open the lock of the shelf");
    lock.lock().expect("lock the shelf");
    let output = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["build", "--bins", "--message-format=json-render-diagnostics"])
        .args(words)
        .arg("--target-dir")
        .arg(&target)
        .current_dir(&workspace)
        .stdin(Stdio::null())
        .output()
        .expect("run cargo build");
    assert!(output.status.success(), "cargo build failed:\n{}", String::from_utf8_lossy(&output.stderr));
    let built = shelf.join(name);
    fs::create_dir_all(&built).expect("make the shelf for binaries");
    for executable in executables(&output.stdout) {
        place(&executable, &built);
        // A build that somebody started in between may have put the other kind under the same name.
        let placed = built.join(executable.file_name().expect("a binary has a name"));
        if placed.file_name().is_some_and(|name| name == "release-switch") {
            assert_eq!(has_planted_bugs(&placed), with_bugs, "{} is of another build: try again", placed.display());
        }
    }
    built
}

/// The `executable` members of cargo's messages, that is: what this build says it made or found fresh.
fn executables(messages: &[u8]) -> Vec<PathBuf> {
    let paths: Vec<_> = String::from_utf8_lossy(messages)
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .filter_map(|message| message["executable"].as_str().map(PathBuf::from))
        .collect();
    assert!(!paths.is_empty(), "cargo build named no executable");
    paths
}

/// Puts a binary on the shelf by rename, so that a story that starts it at this moment gets the old or the new one.
fn place(executable: &Path, shelf: &Path) {
    let name = executable.file_name().expect("a binary has a name");
    let fresh = shelf.join(format!(".{}.{}", name.display(), std::process::id()));
    let _ = fs::remove_file(&fresh);
    fs::hard_link(executable, &fresh).or_else(|_| fs::copy(executable, &fresh).map(drop)).expect("place a binary");
    fs::rename(&fresh, shelf.join(name)).expect("place a binary");
}
