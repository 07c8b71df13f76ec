//! The documents tell the truth, as far as a program can check it: what exists is named, numbers are
//! the code's, links lead somewhere, configurations parse, and the Python runs.

// Everything here is a test, helpers too.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use raftian::config::Config;
use raftian::logging::NodeLog;
use raftian::node::{Node, Setup, submissions};
use raftian::orders_log::OrdersLog;
use raftian::raft::MAX_TERM;
use raftian::rpc::http::{Limits, bind};
use raftian::rpc::methods::{self, Asked};
use raftian::rpc::value::{Fault, Value};
use raftian::rpc::{codec, xml};
use raftian::storage::{Memory, Recovered};
use raftian::{command, machine};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

fn read(path: &str) -> String {
    fs::read_to_string(Path::new(ROOT).join(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
}

/// Every document: the files at the top and those in docs.
fn documents() -> Vec<String> {
    let mut found = Vec::new();
    for folder in ["", "docs/"] {
        for entry in fs::read_dir(Path::new(ROOT).join(folder)).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            if name.ends_with(".md") {
                found.push(format!("{folder}{name}"));
            }
        }
    }
    assert!(found.len() >= 5, "{found:?}");
    found
}

/// The fenced blocks of a document: language and text.
fn blocks(document: &str) -> Vec<(String, String)> {
    let mut blocks = Vec::new();
    let mut lines = document.lines();
    while let Some(line) = lines.next() {
        if let Some(language) = line.strip_prefix("```") {
            let block: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
            blocks.push((language.to_string(), block.join("\n") + "\n"));
        }
    }
    blocks
}

/// The document without its fenced blocks.
fn prose(document: &str) -> String {
    let mut fenced = false;
    document
        .lines()
        .filter(|line| {
            let fence = line.starts_with("```");
            fenced ^= fence;
            !fenced && !fence
        })
        .map(|line| format!("{line}\n"))
        .collect()
}

/// What stands between `open` and `close`, each time.
fn between<'a>(text: &'a str, open: &str, close: &str) -> Vec<&'a str> {
    text.split(open)
        .skip(1)
        .filter_map(|rest| rest.split_once(close))
        .map(|(inside, _)| inside)
        .collect()
}

fn assert_names(path: &str, text: &str, what: &str) {
    assert!(text.contains(what), "{path} does not mention {what}");
}

#[test]
fn every_link_leads_somewhere() {
    // As GitHub makes anchors of headings.
    let anchor = |heading: &str| -> String {
        let heading = heading.trim().to_lowercase();
        let kept = heading.chars().filter_map(|c| match c {
            ' ' => Some('-'),
            c if c.is_alphanumeric() || matches!(c, '-' | '_') => Some(c),
            _ => None,
        });
        kept.collect()
    };
    let mut count = 0;
    for path in documents() {
        let folder = Path::new(&path).parent().unwrap().to_path_buf();
        // A link may be broken over two lines.
        for link in between(&prose(&read(&path)).replace('\n', " "), "](", ")") {
            if link.starts_with("https://") || link.starts_with("http://") {
                continue;
            }
            let (file, heading) = link.split_once('#').unwrap_or((link, ""));
            let target = match file {
                "" => PathBuf::from(&path),
                file => folder.join(file),
            };
            let full = Path::new(ROOT).join(&target);
            assert!(full.exists(), "{path} links to {link}");
            count += 1;
            if !heading.is_empty() {
                let text = prose(&read(target.to_str().unwrap()));
                let mut headings = text.lines().filter_map(|line| {
                    let heading = line.trim_start_matches('#');
                    (heading.len() < line.len()).then(|| anchor(heading))
                });
                assert!(headings.any(|h| h == heading), "{path} links to {link}");
            }
        }
    }
    assert!(count > 0);
}

/// A row with too few or too many cells is two tables that have been mixed, or a bar in the wrong place.
#[test]
fn every_row_of_a_table_has_as_many_cells_as_its_head() {
    for path in documents() {
        let mut head = None;
        for line in prose(&read(&path)).lines() {
            // A bar inside code divides nothing.
            let outside = line.split('`').step_by(2).collect::<String>();
            let bars = outside.replace("\\|", "").matches('|').count();
            head = line.starts_with('|').then(|| head.unwrap_or(bars));
            assert!(head.is_none_or(|head| head == bars), "{path}: {line}");
        }
    }
}

#[test]
fn every_file_that_is_named_exists() {
    let of_ours = ["src/", "tests/", "benches/", "docs/", "config/"];
    let mut count = 0;
    for path in documents() {
        for name in prose(&read(&path)).split('`').skip(1).step_by(2) {
            if of_ours.iter().any(|folder| name.starts_with(folder)) {
                assert!(Path::new(ROOT).join(name).exists(), "{path} names {name}");
                count += 1;
            }
        }
    }
    assert!(count > 0);
}

#[test]
fn the_readme_names_every_command_option_and_variable() {
    let readme = read("README.md");
    let help = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_raftian"))
            .args(arguments)
            .arg("--help")
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let top = help(&[]);
    let listed = top.split_once("Commands:\n").unwrap().1;
    let listed = listed.split_once("\n\n").unwrap().0;
    let commands: Vec<&str> = listed
        .lines()
        .filter_map(|line| line.strip_prefix("  ")?.split(' ').next())
        .filter(|name| !name.is_empty() && *name != "help")
        .collect();
    assert!(commands.len() >= 6, "{commands:?}");
    for command in &commands {
        assert_names("README.md", &readme, &format!("`raftian {command} "));
    }
    for command in commands.iter().map(|name| vec![*name]).chain([vec![]]) {
        // Where the lines of the help are broken is of no interest.
        let help = help(&command);
        let options = help.split_once("Options:\n").unwrap().1;
        let options = options.split_once("\nExamples").unwrap().0;
        for word in options.split_whitespace() {
            let option = word.trim_end_matches(['=', ']', ',']);
            let is_option = option.starts_with("--") && option.len() > 2;
            let is_variable = option.starts_with("RAFTIAN_");
            if (is_option || is_variable) && !matches!(option, "--help" | "--version") {
                assert_names("README.md", &readme, option);
            }
        }
    }
}

#[test]
fn the_readme_has_every_key_of_the_configuration_with_its_default() {
    let readme = read("README.md");
    let local = read("config/local.toml");
    let mut keys = BTreeSet::new();
    let mut table = "";
    for line in local.lines().map(str::trim) {
        if let Some(name) = line.strip_prefix('[') {
            table = name.trim_matches(['[', ']']);
        } else if let Some((key, value)) = line.split_once(" = ")
            && !line.starts_with('#')
        {
            let row = match table {
                "node" => format!("| `node.{key}` | |"),
                _ => format!("| `{table}.{key}` | `{}` |", value.trim_matches('"')),
            };
            assert_names("README.md", &readme, &row);
            keys.insert(format!("{table}.{key}"));
        }
    }
    assert_eq!(keys.len(), 12, "{keys:?}");
    for name in between(&readme, "\n| `cluster.", "` | `") {
        assert!(keys.contains(&format!("cluster.{name}")), "{name}");
    }
}

#[test]
fn every_configuration_in_the_documents_parses() {
    let mut count = 0;
    for path in documents() {
        for (language, text) in blocks(&read(&path)) {
            if language == "toml" {
                let config = Config::parse(&text, Path::new(&path));
                assert!(config.is_ok(), "{}", config.unwrap_err());
                count += 1;
            }
        }
    }
    assert!(count > 0);
}

fn list_methods() -> Vec<String> {
    let (asked, _) = methods::read(&xml::encode_call("system.listMethods", &[]));
    let Ok(Asked::Known(Value::Array(names))) = asked else {
        panic!("a list of names is wanted");
    };
    let name = |value: &Value| value.as_str().unwrap().to_string();
    names.iter().map(name).collect()
}

#[test]
fn the_reference_has_every_method_and_no_other() {
    let reference = read("docs/XMLRPC.md");
    let described: BTreeSet<String> = between(&reference, "\n#### `", "(")
        .into_iter()
        .map(str::to_string)
        .collect();
    assert_eq!(described, list_methods().into_iter().collect());
}

#[test]
fn the_reference_has_the_limits_and_codes_of_the_code() {
    // Where its lines are broken is of no interest.
    let reference = read("docs/XMLRPC.md");
    let reference: Vec<&str> = reference.split_whitespace().collect();
    let reference = reference.join(" ");
    // 1048576 as the reference writes it: 1,048,576.
    let grouped = |number: u64| {
        let digits = number.to_string();
        let mut text = String::new();
        for (i, digit) in digits.chars().enumerate() {
            if i > 0 && (digits.len() - i).is_multiple_of(3) {
                text.push(',');
            }
            text.push(digit);
        }
        text
    };
    let number = |number: usize| grouped(number as u64);
    let limits = Limits::default();
    let outcome_s = submissions::OUTCOME_WITHIN / 1000;
    let leader_s = submissions::LEADER_WITHIN / 1000;
    assert_eq!(MAX_TERM, 1 << 62);
    for what in [
        format!("1 to {} bytes of UTF-8", command::MAX_CLIENT_BYTES),
        format!("at most {} bytes.", number(command::MAX_TEXT_BYTES)),
        format!("at most {} entries", number(codec::MAX_BATCH_ENTRIES)),
        format!("more than {} bytes of them", number(codec::MAX_BATCH_BYTES)),
        format!("more than {} values", number(xml::MAX_VALUES)),
        format!("more than {} deep", xml::MAX_DEPTH),
        format!("and the {} below it", grouped(machine::WINDOW - 1)),
        format!("remembers {} clients", number(machine::MAX_SESSIONS)),
        format!("`no leader within {leader_s} s"),
        format!("`outcome unknown after {outcome_s} s`"),
        format!("at most {} connections", limits.max_connections),
        format!("headers: at most {} bytes", number(limits.max_head)),
        format!("body: at most {} bytes", number(limits.max_body)),
        format!("within {} s of its first byte", limits.head_time.as_secs()),
        format!("within {} s of its head", limits.body_time.as_secs()),
        format!("after {} s without a request", limits.idle.as_secs()),
        format!("not taken within {} s", limits.write_time.as_secs()),
        format!("safe for {} s", limits.grace.as_secs()),
    ] {
        assert_names("docs/XMLRPC.md", &reference, &what);
    }
    for code in [
        Fault::NOT_WELL_FORMED,
        Fault::NOT_XML_RPC,
        Fault::NO_SUCH_METHOD,
        Fault::WRONG_PARAMETERS,
        Fault::INTERNAL,
        Fault::APPLICATION,
    ] {
        assert_names("docs/XMLRPC.md", &reference, &format!(" | {code} | "));
    }
}

#[test]
fn the_architecture_has_every_module() {
    let architecture = read("docs/ARCHITECTURE.md");
    for module in between(&read("src/lib.rs"), "mod ", ";") {
        assert_names(
            "docs/ARCHITECTURE.md",
            &architecture,
            &format!("`{module}`"),
        );
    }
}

/// Every Rust file below these folders: its path and its text.
fn sources(folders: &[&str]) -> Vec<(PathBuf, String)> {
    let mut folders: Vec<PathBuf> = folders.iter().map(|f| Path::new(ROOT).join(f)).collect();
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                found.push((path, text));
            }
        }
    }
    found
}

/// What stands before the function of that name, if the source has it.
fn before_function<'a>(source: &'a str, name: &str) -> Option<&'a str> {
    let starts = [format!("fn {name}("), format!("fn {name}<")];
    let at = starts.iter().find_map(|start| source.find(start))?;
    Some(&source[..at])
}

/// Whether the source has a function of that name, and methods of that type.
fn has_method(source: &str, of: &str, name: &str) -> bool {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let mut lines = source.lines().filter(|line| line.starts_with("impl"));
    lines.any(|line| line.split(|c| !is_word(c)).any(|word| word == of))
        && before_function(source, name).is_some()
}

/// Whether this is the file of that module, or of its tests.
fn is_module(path: &Path, module: &str) -> bool {
    let stem = path.file_stem().unwrap();
    let folder = path.parent().unwrap().file_name().unwrap();
    stem == module || (folder == module && (stem == "tests" || stem == "mod"))
}

#[test]
fn every_function_test_and_script_that_the_rules_name_exists() {
    let code = sources(&["src", "tests/raft"]);
    let all = sources(&["src", "tests"]);
    let (mut methods, mut functions, mut scripts) = (0, 0, 0);
    for name in prose(&read("docs/RAFT.md")).split('`').skip(1).step_by(2) {
        if name.ends_with(".txt") {
            let path = Path::new(ROOT).join("tests/scripts").join(name);
            assert!(path.exists(), "there is no script {name}");
            scripts += 1;
        } else if let Some((of, function)) = name.rsplit_once("::") {
            if of.starts_with(char::is_uppercase) {
                let exists = code.iter().any(|(_, text)| has_method(text, of, function));
                assert!(exists, "there is no {name}");
                methods += 1;
                continue;
            }
            let mut files = all.iter().filter(|(path, _)| is_module(path, of));
            let before = files.find_map(|(_, text)| before_function(text, function));
            let before = before.unwrap_or_else(|| panic!("there is no {name}"));
            // A sentence is the name of a test.
            if function.matches('_').count() >= 4 {
                let attributes = &before[before.rfind('}').unwrap_or(0)..];
                assert!(attributes.contains("#[test]"), "{name} is no test");
            }
            functions += 1;
        } else {
            let is_test = name.matches('_').count() >= 4 && !name.contains(['/', ' ']);
            assert!(!is_test, "in which file is {name}?");
        }
    }
    assert!(
        methods > 100 && functions > 100 && scripts > 50,
        "{methods} methods, {functions} functions and tests, {scripts} scripts"
    );
}

#[test]
fn the_rules_have_the_default_times_of_the_code() {
    // Where lines are broken is of no interest.
    let rules = read("docs/RAFT.md");
    let rules = rules.split_whitespace().collect::<Vec<_>>().join(" ");
    let cluster = Config::built_in().unwrap().cluster;
    let (min, max) = cluster.election_timeout_ms;
    let heartbeat = cluster.heartbeat_ms;
    for what in [
        format!("a heartbeat every {heartbeat} ms and election timeouts of {min} to {max} ms"),
        format!("the shortest election timeout, {heartbeat} ms to {min}"),
    ] {
        assert_names("docs/RAFT.md", &rules, &what);
    }
}

#[test]
fn the_simulators_document_has_every_planted_mistake_and_every_invariant() {
    let document = read("docs/SIMULATOR.md");
    let planted = read("src/planted.rs");
    let bugs = between(&planted, "pub enum Bug {", "\n}")[0];
    let bugs = bugs.lines().filter_map(|line| line.strip_suffix(','));
    let bugs: Vec<&str> = bugs.map(str::trim).collect();
    assert!(bugs.len() >= 8, "{bugs:?}");
    for bug in &bugs {
        assert_names("docs/SIMULATOR.md", &document, &format!("| `{bug}` |"));
    }
    let mut invariants = BTreeSet::new();
    for file in ["checker", "world", "world/admin", "world/nodes"] {
        let source = read(&format!("src/sim/{file}.rs"));
        let first_text = |rest: &str| {
            let rest = rest.trim_start().strip_prefix('"')?;
            let text = rest.split_once('"')?.0;
            (!text.is_empty()).then(|| text.to_string())
        };
        for start in [
            "violated(",
            "broken(",
            "standing(",
            "invariant:",
            "_WITHIN,",
        ] {
            invariants.extend(source.split(start).skip(1).filter_map(first_text));
        }
    }
    assert!(invariants.len() >= 12, "{invariants:?}");
    for invariant in &invariants {
        assert_names(
            "docs/SIMULATOR.md",
            &document,
            &format!("\n| {invariant} |"),
        );
    }
}

#[test]
fn the_testing_document_has_the_models_numbers_and_mistakes() {
    let document = read("docs/TESTING.md");
    let source = read("src/model/tests.rs");
    // A walk ends with its number of states: 839_690.
    let is_count =
        |word: &&str| word.contains('_') && word.starts_with(|c: char| c.is_ascii_digit());
    let counts = source.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let counts: Vec<&str> = counts.filter(is_count).collect();
    assert!(counts.len() >= 5, "{counts:?}");
    for count in counts {
        let row = format!("| {} |", count.replace('_', ","));
        assert_names("docs/TESTING.md", &document, &row);
    }
    let mistakes = between(&source, "(Bug::", "\"),");
    assert!(mistakes.len() >= 10, "{mistakes:?}");
    for mistake in mistakes {
        let (bug, bounds) = mistake.split_once(", \"").unwrap();
        let row = format!("| `{bug}` | {bounds} |");
        assert_names("docs/TESTING.md", &document, &row);
    }
}

#[test]
fn the_changelog_and_the_manifest_speak_of_one_version() {
    let version = env!("CARGO_PKG_VERSION");
    assert_names("CHANGELOG.md", &read("CHANGELOG.md"), version);
}

/// Five nodes on free ports of this machine.
fn cluster(logs: &Path) -> (Vec<Node>, Vec<SocketAddr>) {
    let listeners: Vec<_> = (0..5)
        .map(|_| bind("127.0.0.1:0".parse().unwrap()).unwrap())
        .collect();
    let addresses: Vec<SocketAddr> = listeners.iter().map(|l| l.local_addr().unwrap()).collect();
    let mut config = Config::embedded(addresses.iter().map(SocketAddr::to_string).collect());
    // A busy machine should not depose anybody here.
    config.cluster.election_timeout_ms = (600, 1200);
    let start = |(node, listener)| {
        Node::start(Setup {
            config: &config,
            node,
            joins: false,
            listener,
            view: None,
            storage: Box::new(Memory::default()),
            recovered: Recovered::default(),
            on_failure: Box::new(|reason| panic!("{reason}")),
            orders_log: OrdersLog::create(&logs.join(&node.name)).unwrap(),
            log: NodeLog::off(),
            trace: None,
            max_connections: 32,
        })
        .unwrap()
    };
    let nodes = config.nodes.iter().zip(listeners).map(start).collect();
    (nodes, addresses)
}

/// Runs a program from the documents, in which nodes are at 127.0.0.1:8001 to 8005 and nobody is in
/// a hurry. Returns what it printed.
fn python(program: &str, addresses: &[SocketAddr]) -> String {
    let ports: Vec<String> = addresses.iter().map(|a| a.port().to_string()).collect();
    let mut program = program
        .replace("range(8001, 8006)", &format!("[{}]", ports.join(", ")))
        .replace("time.sleep(2)", "time.sleep(0)");
    for (id, address) in (1..).zip(addresses) {
        program = program.replace(&format!("127.0.0.1:800{id}"), &address.to_string());
    }
    assert!(
        !program.contains("800"),
        "another node's address:\n{program}"
    );
    let output = Command::new("python3")
        .arg("-c")
        .arg(format!("import signal; signal.alarm(60)\n{program}"))
        .output()
        .expect("this test needs python3 in the PATH, to run what the documents show");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{error}\n{program}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_python_in_the_documents_runs() {
    let logs = tempfile::tempdir().unwrap();
    let (_nodes, addresses) = cluster(logs.path());
    let programs = |path: &str| -> Vec<String> {
        let python = blocks(&read(path)).into_iter();
        let python = python.filter(|(language, _)| language == "python");
        python.map(|(_, text)| text).collect()
    };

    let reference = programs("docs/XMLRPC.md");
    assert_eq!(reference.len(), 2);
    // The second one goes on until there is a leader.
    for program in reference.iter().rev() {
        let printed = python(program, &addresses);
        assert!(printed.contains("'outcome': 'hp 70'"), "{printed}");
    }

    let [bot] = &programs("README.md")[..] else {
        panic!("the README has one bot");
    };
    assert_eq!(bot.lines().count(), 5, "the README promises five lines");
    // Four players of four lives each, of which two are hit already.
    assert_eq!(python(bot, &addresses).lines().count(), 14);
}
