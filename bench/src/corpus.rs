//! What is built from: real files, the same everywhere, since Cargo.lock names them by their digests.
//!
//! The sources of all packages in Cargo.lock, for all platforms, are some ten thousand files of the kind that releases
//! hold: text, a few large ones, deep directories. Five copies of them stand for a large application.

use std::path::Path;

use anyhow::{Context, Result};

use crate::disk::Place;
use crate::measure::{prepare, said};

/// A file that says that all of them are there.
pub(crate) const COMPLETE: &str = "complete";

/// How many there are.
pub(crate) struct Corpus {
    /// Of the tree `M`.
    pub(crate) files: String,
    /// Of the tree `A`, five times `M`; as small as `M` in a quick run.
    pub(crate) all_files: String,
}

/// Unpacks the packages that Cargo.lock names, each from the file whose digest stands there.
const FILL: &str = r#"
cargo fetch --quiet --locked --manifest-path "$1/Cargo.toml"
cache=$(echo "${CARGO_HOME:-$HOME/.cargo}"/registry/cache/*/)
mkdir M
awk -F '"' '/^name = /{n=$2} /^version = /{v=$2} /^source = "registry/{print n "-" v}' "$1/Cargo.lock" | LC_ALL=C sort |
while read -r package; do
    for crate in $cache; do
        [ ! -f "$crate/$package.crate" ] || { tar -xzf "$crate/$package.crate" -C M --no-same-owner; break; }
    done
done
find M -mindepth 1 -name '.git*' -prune -exec rm -rf {} +
"#;

impl Corpus {
    /// Makes every corpus in the place: the trees `M` and `A`, `A2` with one file of a hundred changed, archives of `M`,
    /// one large file `B`, a repository of two revisions, and one flat directory.
    pub(crate) fn make(repository: &Path, place: &Place, quick: bool) -> Result<Self> {
        let folder = &place.path;
        let make = |command: &str| prepare(folder, command).context("make the corpora");
        let count =
            |what: &str| said(&format!("find '{}/{what}' -type f | wc -l", folder.display())).context("count files");
        if folder.join(COMPLETE).exists() {
            return Ok(Self { files: count("M")?, all_files: count("A")? });
        }
        make(&format!("set -- '{}'\n{FILL}", repository.display()))?;
        if quick {
            make("ls M | awk 'NR > 60' | while read -r extra; do rm -rf \"M/$extra\"; done")?;
        }
        make(&format!("mkdir A; for copy in {}; do cp -a M A/$copy; done", if quick { "1" } else { "1 2 3 4 5" }))?;
        make(
            "cp -a A A2; find A2 -type f | LC_ALL=C sort | awk 'NR % 100 == 0' | while read -r f; do echo x >> \"$f\"; done",
        )?;
        make("tar --sort=name -cf M.tar M; gzip -kn M.tar; zstd -q -k M.tar; xz -1 -k M.tar")?;
        make(&format!(
            "mkdir B; dd if=/dev/urandom of=B/big bs=1M count={} status=none; for n in $(seq 20); do head -c 4000 /dev/urandom > B/$n; done",
            if quick { 40 } else { 200 }
        ))?;
        make(
            "git init -q -b main repo; cd repo; git config user.name bench; git config user.email bench@localhost; git config gc.auto 0
             ls ../M | awk 'NR % 2 == 0' | while read -r p; do cp -a \"../M/$p\" .; done
             GIT_COMMITTER_DATE=@1000000000 GIT_AUTHOR_DATE=@1000000000; export GIT_COMMITTER_DATE GIT_AUTHOR_DATE
             git add -Af . >/dev/null 2>&1; git commit -q -m one; git branch one
             git ls-files | awk 'NR % 100 == 0' | while read -r f; do echo x >> \"$f\"; done
             git commit -q -a -m two; git branch two; git repack -q -a -d",
        )?;
        make(&format!("touch {COMPLETE}; sync -f ."))?;
        Ok(Self { files: count("M")?, all_files: count("A")? })
    }
}
