//! The glob of `--link-path`: matched component by component, so that no directory is entered that it does not name.

use std::fmt;
use std::str::FromStr;

use globset::{GlobBuilder, GlobMatcher};

/// A relative path whose components may hold `*`, `?`, `[…]` and `{…}`; `**` is refused.
#[derive(Debug, Clone)]
pub(crate) struct Pattern {
    text: String,
    components: Vec<GlobMatcher>,
}

impl Pattern {
    /// One matcher for each directory level, the file's own last. Never empty.
    pub(crate) fn components(&self) -> &[GlobMatcher] {
        &self.components
    }
}

impl FromStr for Pattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut components = Vec::new();
        for component in text.split('/') {
            match component {
                "" => {
                    return Err(
                        "is no path inside a release: it begins or ends with a slash, or has two in a row".into()
                    );
                }
                "." | ".." => return Err("may not contain . or ..".into()),
                "**" => return Err("may not contain **: name the folders".into()),
                _ => {}
            }
            let glob = GlobBuilder::new(component)
                .literal_separator(true)
                .backslash_escape(true)
                .build()
                .map_err(|e| e.kind().to_string())?;
            components.push(glob.compile_matcher());
        }
        Ok(Self { text: text.to_owned(), components })
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_stays_inside_the_release() {
        for bad in ["", "/etc/passwd", "a//b", "a/", "../x", "a/../b", "./a", "**/x.jar", "a/[", "{a/b,c}"] {
            assert!(bad.parse::<Pattern>().is_err(), "{bad:?} was taken");
        }
        for good in ["app.jar", "target/*.jar", "lib/clojars-web-?.?.jar", "{a,b}/x", "...", "x[0-9]"] {
            assert!(good.parse::<Pattern>().is_ok(), "{good:?} was refused");
        }
    }

    #[test]
    fn each_component_matches_one_level() {
        let pattern: Pattern = "target/*.jar".parse().expect("legal");
        assert_eq!(pattern.components().len(), 2);
        assert!(pattern.components()[0].is_match("target"));
        assert!(pattern.components()[1].is_match("app-1.jar"));
        assert!(!pattern.components()[1].is_match("app-1.jar.asc"));
    }
}
