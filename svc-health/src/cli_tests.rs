//! Command lines: what they become, and that a refused one does not tell what it refuses.

use clap::CommandFactory;

use super::*;

fn request(words: &[&str]) -> Result<Request, String> {
    let arguments = Arguments::try_parse_from(["svc-health"].iter().chain(words)).map_err(|error| error.to_string())?;
    Request::of(arguments).map_err(|reason| format!("{reason:#}"))
}

#[test]
fn the_examples_of_the_help_are_command_lines() {
    for line in ABOUT.lines().filter_map(|line| line.trim().strip_prefix("svc-health ")) {
        let words: Vec<&str> = match line.split_once('\'') {
            None => line.split(' ').collect(),
            Some((plain, quoted)) => plain.split_whitespace().chain([quoted.trim_end_matches('\'')]).collect(),
        };
        assert!(request(&words).is_ok(), "{line}: {:?}", request(&words).err());
    }
    Arguments::command().debug_assert();
}

#[test]
fn no_wait_is_no_wait() {
    assert!(request(&["tcp://h:1", "--wait", "0s"]).unwrap().course.rules.wait.is_none());
}

#[test]
fn wrong_lines_are_refused_without_their_secrets() {
    let secret = tempfile::NamedTempFile::new().unwrap();
    std::io::Write::write_all(&mut secret.as_file(), b"geheim\nX: y\n").unwrap();
    let from_file = format!("Authorization: @{}", secret.path().display());
    for (words, reason) in [
        (vec![], "required"),
        (vec!["http://user:geheim@h/"], "no user or password"),
        (vec!["tcp://h:1", "http://user:geheim@h/"], "target number 2"),
        (vec!["tcp://h:1", "--header", "geheim"], "NAME: VALUE"),
        (vec!["tcp://h:1", "--header", &from_file], "control characters"),
        (vec!["tcp://h:1", "--header", "A: @/nowhere/geheimnis"], "read /nowhere/"),
        (vec!["tcp://h:1", "--header", "Content-Length: 5"], "none is sent"),
        (vec!["tcp://h:1", "--stable", "10s", "--wait", "5s"], "longer than --wait"),
        (vec!["tcp://h:1", "--interval", "0s"], "more than nothing"),
        (vec!["tcp://h:1", "--passes", "0"], "not in"),
        (vec!["tcp://h:1", "--expect-status", "abc"], "is no status"),
        (vec!["exec:true", "--expect-release"], "who answers"),
        (vec!["https://h/", "--ca", "x", "--insecure"], "cannot be used with"),
    ] {
        let refusal = request(&words).err().unwrap_or_else(|| panic!("{words:?} was taken"));
        assert!(refusal.contains(reason), "{words:?}: {refusal}");
        assert!(!refusal.contains("geheim") || refusal.contains("/nowhere/geheimnis"), "{words:?}: {refusal}");
    }
}

#[test]
fn a_field_from_a_file_loses_its_last_newline() {
    let secret = tempfile::NamedTempFile::new().unwrap();
    std::io::Write::write_all(&mut secret.as_file(), b"Bearer geheim\n").unwrap();
    let request = request(&["tcp://h:1", "--header", &format!("Authorization:@{}", secret.path().display())]).unwrap();
    assert_eq!(request.fields, [("Authorization".to_owned(), "Bearer geheim".to_owned())]);
}
