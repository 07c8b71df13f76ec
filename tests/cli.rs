//! The command line from outside: exit codes, messages, and what goes where.

// Clippy allows unwrap in test functions, and not in what they share.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use raftian::machine::{FIRST_DIGEST, chain};

/// The built binary in an empty folder, without this shell's variables.
fn raftian(dir: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_raftian"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("RAFTIAN_") {
            command.env_remove(name);
        }
    }
    command
        .args(arguments)
        .current_dir(dir)
        .stdin(Stdio::null());
    command
}

fn run(dir: &Path, arguments: &[&str]) -> Output {
    raftian(dir, arguments).output().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn code(output: &Output) -> i32 {
    output.status.code().expect("not ended by a signal")
}

/// That it failed with this code and one line, which is returned.
fn one_line(output: &Output, expected: i32) -> String {
    let text = stderr(output);
    assert_eq!(code(output), expected, "{text}");
    assert_eq!(text.matches('\n').count(), 1, "{text}");
    assert!(text.starts_with("raftian: "), "{text}");
    assert_eq!(stdout(output), "");
    text
}

/// The lines of a log of no-ops, each in the term that `term` gives for its index.
fn log(count: u64, term: impl Fn(u64) -> u64) -> String {
    let mut digest = FIRST_DIGEST.to_string();
    let line = |index| {
        let term = term(index);
        digest = chain(&digest, index, term, "noop", "ok");
        format!("{index}\t{term}\tnoop\tok\t{digest}\n")
    };
    (1..=count).map(line).collect()
}

fn write(dir: &Path, name: &str, text: &str) {
    fs::create_dir_all(dir.join(name)).unwrap();
    fs::write(dir.join(name).join("orders.log"), text).unwrap();
}

#[test]
fn help_is_on_the_standard_output_with_examples_and_exits_with_0() {
    let dir = tempfile::tempdir().unwrap();
    for command in [
        "", "play", "serve", "attack", "status", "verify", "replay", "sim",
    ] {
        let arguments: Vec<&str> = [command, "--help"]
            .into_iter()
            .filter(|a| !a.is_empty())
            .collect();
        let output = run(dir.path(), &arguments);
        assert_eq!(code(&output), 0, "{command}");
        assert!(
            stdout(&output).contains("Examples:\n  raftian"),
            "{command}"
        );
        assert_eq!(stderr(&output), "", "{command}");
    }
    assert!(stdout(&run(dir.path(), &["--version"])).starts_with("raftian "));
}

#[test]
fn wrong_usage_exits_with_2_and_says_what_is_wrong() {
    let dir = tempfile::tempdir().unwrap();
    for (arguments, contains) in [
        ("frob", "frob"),
        ("--frob", "--frob"),
        ("--players 1", "2..=9"),
        ("--players 10", "2..=9"),
        ("--players 3 verify .", "--players"),
        ("--log-level loud", "debug"),
        ("play", "--id"),
        ("play --id 0", "1..=9"),
        ("play --id one", "--id"),
        ("serve --id 1 --address 127.0.0.1", "HOST:PORT"),
        ("serve --id 1 --bot", "--bot"),
        ("attack --to 127.0.0.1:1", "PLAYER"),
        ("attack 3", "--to"),
        ("attack x --to 127.0.0.1:1", "PLAYER"),
        ("attack 3 --to http://127.0.0.1:1/RPC2", "--to"),
        ("status", "--to"),
        ("status --to 127.0.0.1:0", "65535"),
        ("verify", "DIR"),
        ("verify a b", "b"),
        ("replay", "FILE"),
        ("sim", "--seed"),
        ("sim --seed -1", "-1"),
        ("sim --seed 1 --seeds 0", "0"),
    ] {
        let output = run(dir.path(), &arguments.split(' ').collect::<Vec<_>>());
        assert_eq!(code(&output), 2, "{arguments}: {}", stderr(&output));
        assert!(
            stderr(&output).contains(contains),
            "{arguments}: {}",
            stderr(&output)
        );
        assert_eq!(stdout(&output), "", "{arguments}");
    }
}

#[test]
fn an_id_that_the_configuration_does_not_have_is_wrong_usage() {
    let dir = tempfile::tempdir().unwrap();
    for command in ["play", "serve"] {
        let line = one_line(&run(dir.path(), &[command, "--id", "7"]), 2);
        assert!(
            line.contains("--id 7: config/local.toml (built in) has no such node"),
            "{line}"
        );
        assert!(line.contains("1, 2, 3, 4, 5"), "{line}");
    }
}

#[test]
fn the_configuration_is_the_file_that_is_named_or_the_one_in_the_working_directory() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("config")).unwrap();
    fs::write(
        dir.path().join("config/local.toml"),
        "[cluster]\nheartbeat = 50\n",
    )
    .unwrap();
    fs::write(dir.path().join("my.toml"), "\n[[nodes]]\n").unwrap();

    let line = one_line(&run(dir.path(), &["serve", "--id", "1"]), 1);
    assert!(
        line.starts_with("raftian: config/local.toml:2: cluster.heartbeat: unknown key"),
        "{line}"
    );
    let named = run(dir.path(), &["serve", "--id", "1", "--config", "my.toml"]);
    assert!(one_line(&named, 1).starts_with("raftian: my.toml:2: nodes: unknown key"));
    let by_variable = raftian(dir.path(), &["serve"])
        .env("RAFTIAN_ID", "1")
        .env("RAFTIAN_CONFIG", "my.toml")
        .output()
        .unwrap();
    assert_eq!(one_line(&by_variable, 1), stderr(&named));
    let missing = run(dir.path(), &["serve", "--id", "1", "--config", "none.toml"]);
    assert!(one_line(&missing, 1).contains("none.toml: no such file"));
}

#[test]
fn an_address_of_another_node_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let output = run(
        dir.path(),
        &["serve", "--id", "1", "--address", "127.0.0.1:8002"],
    );
    assert!(one_line(&output, 1).contains("that is bob2's address"));
}

#[test]
fn verify_sums_up_files_that_agree() {
    let dir = tempfile::tempdir().unwrap();
    let long = log(5, |_| 1);
    write(dir.path(), "logs/bob1", &long);
    write(dir.path(), "logs/bobby2", &log(3, |_| 1));
    write(dir.path(), "logs/bob3", &(log(3, |_| 1) + "4\t1"));
    let output = run(dir.path(), &["verify", "logs"]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let digest = |count| {
        log(count, |_| 1)
            .trim_end()
            .rsplit('\t')
            .next()
            .unwrap()
            .to_string()
    };
    assert_eq!(
        stdout(&output),
        format!(
            "bob1    5 lines  {}\n\
             bob3    3 lines  {}  (and half a line at its end, which is left out)\n\
             bobby2  3 lines  {}\n\
             ok\n",
            digest(5),
            digest(3),
            digest(3)
        )
    );
    assert_eq!(stderr(&output), "");
}

#[test]
fn verify_prints_the_first_line_that_differs_and_exits_with_1() {
    let dir = tempfile::tempdir().unwrap();
    let (first, second) = (log(4, |_| 1), log(4, |index| 1 + u64::from(index > 2)));
    write(dir.path(), "logs/bob1", &first);
    write(dir.path(), "logs/bob2", &second);
    let output = run(dir.path(), &["verify", "logs"]);
    assert_eq!(code(&output), 1);
    let line = |text: &str| text.lines().nth(2).unwrap().to_string();
    assert_eq!(
        stdout(&output),
        format!(
            "logs/bob1/orders.log:3: {}\nlogs/bob2/orders.log:3: {}\n",
            line(&first),
            line(&second)
        )
    );
    assert_eq!(
        stderr(&output),
        "raftian: logs/bob1/orders.log and logs/bob2/orders.log differ at line 3\n"
    );
}

#[test]
fn verify_finds_a_line_that_was_changed_everywhere_alike() {
    let dir = tempfile::tempdir().unwrap();
    let text = log(4, |_| 1).replacen("noop", "nope", 1);
    write(dir.path(), "bob1", &text);
    write(dir.path(), "bob2", &text);
    let output = run(dir.path(), &["verify", "."]);
    assert_eq!(code(&output), 1);
    assert!(stdout(&output).starts_with("./bob1/orders.log:1: 1\t1\tnope\tok\t"));
    assert!(stderr(&output).starts_with("raftian: ./bob1/orders.log:1: the digest should be "));
}

#[test]
fn verify_without_files_fails_with_one_line() {
    let dir = tempfile::tempdir().unwrap();
    let line = one_line(&run(dir.path(), &["verify", "."]), 1);
    assert!(line.contains("no orders.log"), "{line}");
    let line = one_line(&run(dir.path(), &["verify", "missing"]), 1);
    assert!(line.starts_with("raftian: missing: "), "{line}");
}

#[test]
fn a_reader_that_has_gone_changes_nothing_but_the_output() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "good/bob1", &log(3, |_| 1));
    write(dir.path(), "bad/bob1", &log(3, |index| 4 - index));
    for (target, expected) in [("good", 0), ("bad", 1)] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = raftian(dir.path(), &["verify", target])
            .stdout(writer)
            .output()
            .unwrap();
        assert_eq!(code(&output), expected);
        assert!(!stderr(&output).contains("panicked"), "{}", stderr(&output));
        assert!(
            !stderr(&output).contains("standard output"),
            "{}",
            stderr(&output)
        );
    }
}

#[cfg(target_os = "linux")]
#[test]
fn output_that_does_not_fit_on_the_disk_is_a_failure() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "bob1", &log(3, |_| 1));
    let full = fs::OpenOptions::new()
        .write(true)
        .open("/dev/full")
        .unwrap();
    let output = raftian(dir.path(), &["verify", "."])
        .stdout(full)
        .output()
        .unwrap();
    assert!(one_line(&output, 1).contains("cannot write to the standard output"));
}
