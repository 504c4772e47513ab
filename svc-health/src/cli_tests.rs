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
        (vec!["http://h/", "--header", "geheim"], "NAME: VALUE"),
        (vec!["http://h/", "--header", &from_file], "control characters"),
        (vec!["http://h/", "--header", "A: @/nowhere/geheimnis"], "read /nowhere/"),
        (vec!["http://h/", "--header", "Content-Length: 5"], "none is sent"),
        (vec!["tcp://h:1", "--stable", "10s", "--wait", "5s"], "longer than --wait"),
        (vec!["tcp://h:1", "--interval", "0s"], "more than nothing"),
        (vec!["tcp://h:1", "--passes", "0"], "not in"),
        (vec!["http://h/", "--expect-status", "abc"], "is no status"),
        (vec!["exec:true", "--expect-release"], "who answers"),
        (vec!["https://h/", "--ca", "x", "--insecure"], "cannot be used with"),
    ] {
        let refusal = request(&words).err().unwrap_or_else(|| panic!("{words:?} was taken"));
        assert!(refusal.contains(reason), "{words:?}: {refusal}");
        assert!(!refusal.contains("geheim") || refusal.contains("/nowhere/geheimnis"), "{words:?}: {refusal}");
    }
}

#[test]
fn options_that_no_target_heeds_are_refused() {
    for (option, value) in [
        ("--header", "A: geheim"),
        ("--expect-status", "200"),
        ("--expect-body", "x"),
        ("--expect-header", "X"),
        ("--ca", "x.pem"),
        ("--insecure", ""),
    ] {
        let words = |target: &'static str| {
            [target, "unix:///s", "exec:true", option, value].into_iter().filter(|word| !word.is_empty())
        };
        let refusal = request(&words("tcp://h:1").collect::<Vec<_>>()).unwrap_err();
        assert!(
            refusal.starts_with(&format!("{option} means nothing here")) && !refusal.contains("geheim"),
            "{refusal}"
        );
        let for_tls = ["--ca", "--insecure"].contains(&option);
        assert_eq!(request(&words("http+unix:///s:/").collect::<Vec<_>>()).is_ok(), !for_tls, "{option}");
        assert!(request(&words("https://h/").collect::<Vec<_>>()).is_ok(), "{option}");
    }
}

#[test]
fn a_field_from_a_file_loses_its_last_newline() {
    let secret = tempfile::NamedTempFile::new().unwrap();
    std::io::Write::write_all(&mut secret.as_file(), b"Bearer geheim\n").unwrap();
    let request = request(&["http://h/", "--header", &format!("Authorization:@{}", secret.path().display())]).unwrap();
    assert_eq!(request.fields, [("Authorization".to_owned(), "Bearer geheim".to_owned())]);
}
