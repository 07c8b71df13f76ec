//! What a configuration may say, and what is said about one that is wrong.

// Clippy allows unwrap in test functions, and not in what they share.
#![allow(clippy::unwrap_used)]

use std::io;
use std::path::{Path, PathBuf};

use raftian::application::Kind;
use raftian::config::{Config, DEFAULT_PATH};

const NODE: &str = "[[node]]\nid = 1\nname = \"bob1\"\naddress = \"127.0.0.1:8001\"\n";

fn parse(text: &str) -> Result<Config, String> {
    Config::parse(text, Path::new("my.toml")).map_err(|error| error.to_string())
}

#[test]
fn the_default_file_is_five_bobs_on_loopback_and_repeats_the_defaults() {
    let config = Config::load(Path::new(DEFAULT_PATH)).unwrap();
    assert_eq!(config.source, PathBuf::from("config/local.toml"));
    let nodes: Vec<_> = config
        .nodes
        .iter()
        .map(|node| format!("{} {} {}", node.id, node.name, node.address))
        .collect();
    assert_eq!(
        nodes,
        [
            "1 bob1 127.0.0.1:8001",
            "2 bob2 127.0.0.1:8002",
            "3 bob3 127.0.0.1:8003",
            "4 bob4 127.0.0.1:8004",
            "5 bob5 127.0.0.1:8005",
        ]
    );
    let text = std::fs::read_to_string(DEFAULT_PATH).unwrap();
    for node in &config.nodes {
        let line = text.lines().nth(node.line - 1).unwrap();
        assert!(line.contains(&node.address), "line {}: {line}", node.line);
    }
    assert_eq!(config.cluster, parse(NODE).unwrap().cluster);
    assert_eq!(config.nodes, Config::built_in().unwrap().nodes);
}

#[test]
fn all_but_the_nodes_is_optional() {
    let cluster = parse(NODE).unwrap().cluster;
    assert_eq!(cluster.name, "local");
    assert_eq!(cluster.machine, Kind::Game);
    assert_eq!(cluster.heartbeat_ms, 50);
    assert_eq!(cluster.election_timeout_ms, (150, 300));
    assert_eq!(cluster.logs, PathBuf::from("logs"));
    assert_eq!(cluster.data, PathBuf::from("data"));
}

#[test]
fn what_the_file_says_is_what_the_configuration_holds() {
    let config = parse(
        "[cluster]\nname = \"lab_2\"\nheartbeat_ms = 1_0\nelection_timeout_ms = [\n  11,\n  11,\n]\n\
         logs = \"/tmp/l\"\ndata = \"d/e\"\n\
         [[node]]\nid = 9\nname = \"z\"\naddress = \"[::1]:1\"\n\
         [[node]]\naddress = \"host:2\"\nid = 2\nname = \"a-b\"\n",
    )
    .unwrap();
    assert_eq!(config.cluster.name, "lab_2");
    assert_eq!(config.cluster.heartbeat_ms, 10);
    assert_eq!(config.cluster.election_timeout_ms, (11, 11));
    assert_eq!(config.cluster.logs, PathBuf::from("/tmp/l"));
    assert_eq!(config.cluster.data, PathBuf::from("d/e"));
    let ids: Vec<_> = config.nodes.iter().map(|node| node.id).collect();
    assert_eq!(ids, [2, 9]);
    assert_eq!(config.node(9).unwrap().address, "[::1]:1");
    assert_eq!(config.node(9).unwrap().line, 13);
    assert!(config.node(1).is_none());
    assert_eq!(
        config.logs_of(&config.nodes[0]),
        PathBuf::from("/tmp/l/a-b")
    );
}

/// Each file, and how the one line about it begins and what it contains.
#[test]
fn each_mistake_is_one_line_with_file_line_and_key() {
    let cluster = |lines: &str| format!("[cluster]\n{lines}\n{NODE}");
    let second = |lines: &str| format!("{NODE}\n[[node]]\n{lines}\n");
    let other = |key: &str, line: &str| {
        let mut lines = vec!["id = 2", "name = \"bob2\"", "address = \"127.0.0.1:8002\""];
        lines.retain(|line| !line.starts_with(key));
        lines.insert(0, line);
        second(&lines.join("\n"))
    };
    let table: Vec<(String, &str, &str)> = vec![
        // Unknown keys.
        (
            format!("clutser = 1\n{NODE}"),
            "my.toml:1: clutser: unknown key",
            "did you mean cluster?",
        ),
        (
            format!("heartbeat_ms = 1\n{NODE}"),
            "my.toml:1: heartbeat_ms: unknown key",
            "below [cluster]?",
        ),
        (
            format!("\nzzz = 1\n{NODE}"),
            "my.toml:2: zzz: unknown key",
            "the keys here are cluster, storage, node",
        ),
        (
            format!("{NODE}\n[[nodes]]\nid = 2"),
            "my.toml:6: nodes: unknown key",
            "did you mean node?",
        ),
        (
            format!("fsync = true\n{NODE}"),
            "my.toml:1: fsync: unknown key",
            "below [storage]?",
        ),
        (
            cluster("snapshot_entries = 5"),
            "my.toml:2: cluster.snapshot_entries: unknown key",
            "below [storage]?",
        ),
        (
            format!("[storage]\nfsync = 1\n{NODE}"),
            "my.toml:2: storage.fsync: write true or false",
            "integer",
        ),
        (
            format!("[storage]\nsnapshot_entries = 0\n{NODE}"),
            "my.toml:2: storage.snapshot_entries:",
            "1",
        ),
        (
            format!("storage = 5\n{NODE}"),
            "my.toml:1: storage: write a table: [storage]",
            "integer",
        ),
        (
            cluster("heartbeat = 50"),
            "my.toml:2: cluster.heartbeat: unknown key",
            "did you mean heartbeat_ms?",
        ),
        (
            cluster("\nElection_Timeout_ms = [1, 2]"),
            "my.toml:3: cluster.Election_Timeout_ms:",
            "did you mean election_timeout_ms?",
        ),
        (
            cluster("\"a\\nb\\u001b\" = 1"),
            "my.toml:2: cluster.a\\nb\\u{1b}: unknown key",
            "the keys here are name, machine",
        ),
        (
            cluster("node.id = 1"),
            "my.toml:2: cluster.node: unknown key",
            "",
        ),
        (
            second("id = 2\nname = \"b\"\nadress = \"x\""),
            "my.toml:9: node.adress: unknown key",
            "did you mean address?",
        ),
        // Wrong types.
        (
            cluster("heartbeat_ms = \"50\""),
            "my.toml:2: cluster.heartbeat_ms: write a whole number",
            "string",
        ),
        (
            cluster("heartbeat_ms = 50.0"),
            "my.toml:2: cluster.heartbeat_ms: write a whole number",
            "float",
        ),
        (
            cluster("name = 7"),
            "my.toml:2: cluster.name: write a string",
            "integer",
        ),
        (
            cluster("logs = true"),
            "my.toml:2: cluster.logs: write a string",
            "boolean",
        ),
        (
            cluster("election_timeout_ms = 150"),
            "my.toml:2: cluster.election_timeout_ms: write two whole numbers",
            "integer",
        ),
        (
            cluster("election_timeout_ms = [150]"),
            "my.toml:2: cluster.election_timeout_ms: write two whole numbers",
            "",
        ),
        (
            cluster("election_timeout_ms = [150, 200, 300]"),
            "my.toml:2: cluster.election_timeout_ms: write two",
            "",
        ),
        (
            cluster("election_timeout_ms = [150, \"300\"]"),
            "my.toml:2: cluster.election_timeout_ms: write two",
            "",
        ),
        (
            format!("cluster = 3\n{NODE}"),
            "my.toml:1: cluster: write a table",
            "integer",
        ),
        (
            "[node]\nid = 1".to_string(),
            "my.toml:1: node: write [[node]] in double brackets",
            "table",
        ),
        (
            "\nnode = [1]".to_string(),
            "my.toml:2: node: write [[node]] in double brackets",
            "integer",
        ),
        (
            other("id", "id = \"2\""),
            "my.toml:7: node.id: write a whole number",
            "string",
        ),
        (
            other("name", "name = 2"),
            "my.toml:7: node.name: write a string",
            "integer",
        ),
        // Values out of range.
        (
            cluster("heartbeat_ms = 0"),
            "my.toml:2: cluster.heartbeat_ms: 0 is out of range",
            "1 to 10000",
        ),
        (
            cluster("heartbeat_ms = -50"),
            "my.toml:2: cluster.heartbeat_ms: -50 is out of range",
            "",
        ),
        (
            cluster("heartbeat_ms = 9223372036854775807"),
            "my.toml:2: cluster.heartbeat_ms: 9223372036854775807 is",
            "",
        ),
        (
            cluster("election_timeout_ms = [150, 60001]"),
            "my.toml:2: cluster.election_timeout_ms: 60001 is out",
            "60000",
        ),
        (
            cluster("election_timeout_ms = [300, 150]"),
            "my.toml:2: cluster.election_timeout_ms: the shortest",
            "[150, 300]",
        ),
        (
            cluster("election_timeout_ms = [50, 300]"),
            "my.toml:2: cluster.election_timeout_ms: must exceed heartbeat_ms, 50 ms",
            "",
        ),
        (
            cluster("heartbeat_ms = 150"),
            "my.toml:2: cluster.heartbeat_ms: must be below",
            "150 ms",
        ),
        (
            cluster("heartbeat_ms = 90\nelection_timeout_ms = [80, 200]"),
            "my.toml:3: cluster.election_timeout_ms: must exceed",
            "90 ms",
        ),
        (
            cluster("machine = \"kw\""),
            "my.toml:2: cluster.machine: \"kw\" is unknown",
            "write \"game\" or \"kv\"",
        ),
        (
            cluster("name = \"\""),
            "my.toml:2: cluster.name: \"\": write 1 to 32",
            "",
        ),
        (
            cluster("logs = \"\""),
            "my.toml:2: cluster.logs: write the path",
            "",
        ),
        (
            cluster("data = \"a\\u0000b\""),
            "my.toml:2: cluster.data: write the path",
            "",
        ),
        // Nodes.
        (String::new(), "my.toml:1: node: there is none", "[[node]]"),
        (
            "[cluster]\nname = \"a\"\n".to_string(),
            "my.toml:2: node: there is none",
            "",
        ),
        (
            "node = []".to_string(),
            "my.toml:1: node: there is none",
            "",
        ),
        (
            second("id = 2\nname = \"bob2\""),
            "my.toml:6: node.address: missing",
            "id, name, address",
        ),
        (
            second("name = \"bob2\"\naddress = \"a:1\""),
            "my.toml:6: node.id: missing",
            "",
        ),
        (
            second("id = 2\naddress = \"a:1\""),
            "my.toml:6: node.name: missing",
            "",
        ),
        (
            other("id", "id = 0"),
            "my.toml:7: node.id: 0 is out of range; write 1 to 9",
            "",
        ),
        (
            other("id", "id = 10"),
            "my.toml:7: node.id: 10 is out of range; write 1 to 9",
            "",
        ),
        (
            other("id", "id = 1"),
            "my.toml:7: node.id: 1 is bob1's id already",
            "",
        ),
        (
            other("name", "name = \"BOB1\""),
            "my.toml:7: node.name: \"BOB1\" is the name of node 1 already",
            "",
        ),
        (
            other("name", "name = \"../bob\""),
            "my.toml:7: node.name: \"../bob\": write 1 to 32",
            "",
        ),
        (
            other("name", "name = \"a\\tb\""),
            "my.toml:7: node.name: \"a\\tb\": write 1 to 32",
            "",
        ),
        (
            other("name", &format!("name = \"{}\"", "x".repeat(33))),
            "my.toml:7: node.name: \"xxx",
            "1 to 32",
        ),
        (
            other("address", "address = \"127.0.0.1:8001\""),
            "my.toml:7: node.address: 127.0.0.1:8001 is bob1's address already",
            "",
        ),
        (
            other("address", "address = \"localhost:8001\""),
            "my.toml:7: node.address: localhost:8001 is bob1's",
            "",
        ),
        (
            other("address", "address = \"127.0.0.1\""),
            "my.toml:7: node.address: \"127.0.0.1\": write HOST:PORT",
            "",
        ),
        (
            other("address", "address = \"127.0.0.1:0\""),
            "my.toml:7: node.address: \"127.0.0.1:0\": the port",
            "1 to 65535",
        ),
        (
            other("address", "address = \"::1:80\""),
            "my.toml:7: node.address: \"::1:80\": an IPv6 address stands in brackets",
            "",
        ),
        // Not TOML.
        (
            cluster("heartbeat_ms ="),
            "my.toml:2: not TOML",
            "heartbeat_ms =",
        ),
        (
            cluster("heartbeat_ms = 50\nheartbeat_ms = 60"),
            "my.toml:3: not TOML",
            "heartbeat_ms = 60",
        ),
        (cluster("name = \"a"), "my.toml:2: not TOML", "name = \"a"),
        (
            cluster("election_timeout_ms = [150, 300"),
            "my.toml:",
            "not TOML",
        ),
        ("[cluster\n".to_string(), "my.toml:1: not TOML", "[cluster"),
        ("\u{1b}[2J".to_string(), "my.toml:1: not TOML", "\\u{1b}"),
        (
            format!("a = {}", "[".repeat(10_000)),
            "my.toml:1: not TOML",
            "...",
        ),
    ];
    for (text, start, contains) in table {
        let error = parse(&text).expect_err(&text);
        assert!(error.starts_with(start), "{text}\ngave {error}");
        assert!(error.contains(contains), "{text}\ngave {error}");
        assert!(
            !error.chars().any(char::is_control),
            "{text}\ngave {error:?}"
        );
        assert!(error.len() < 300, "{text}\ngave {error}");
    }
}

#[test]
fn more_than_nine_nodes_do_not_fit() {
    let node = |id| format!("[[node]]\nid = {id}\nname = \"n{id}\"\naddress = \"h:{id}\"\n");
    let nine: String = (1..=9).map(node).collect();
    assert_eq!(parse(&nine).unwrap().nodes.len(), 9);
    let error = parse(&(nine + &node(10))).unwrap_err();
    assert_eq!(
        error,
        "my.toml:38: node.id: 10 is out of range; write 1 to 9"
    );
}

#[test]
fn a_file_that_cannot_be_read_is_one_line_that_names_it() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let load = |name: &str| Config::load(&at(name)).unwrap_err().to_string();

    let missing = load("missing.toml");
    assert!(
        missing.contains("missing.toml: no such file") && missing.contains("--config"),
        "{missing}"
    );

    std::fs::create_dir(at("folder")).unwrap();
    assert!(load("folder").starts_with(&at("folder").display().to_string()));

    std::fs::write(at("latin.toml"), b"[cluster]\nname = \"J\xfcrgen\"\n").unwrap();
    assert!(load("latin.toml").ends_with("latin.toml:2: not UTF-8 text"));

    std::fs::write(at("big.toml"), vec![b'\n'; (1 << 20) + 1]).unwrap();
    assert!(load("big.toml").contains("longer than 1 MiB"));
}

#[test]
fn a_port_in_use_is_one_line_with_file_line_and_key() {
    let mut config = Config::load(Path::new(DEFAULT_PATH)).unwrap();
    let in_use = io::Error::from(io::ErrorKind::AddrInUse);
    let line = config.node(1).unwrap().line;
    assert_eq!(
        config.explain_bind(1, &in_use),
        format!(
            "config/local.toml:{line}: node.address 127.0.0.1:8001 is in use: is bob1 already running?"
        )
    );
    let elsewhere = io::Error::from(io::ErrorKind::AddrNotAvailable);
    assert!(
        config
            .explain_bind(2, &elsewhere)
            .contains("is not an address of this machine")
    );

    config.listen_at(1, "127.0.0.1:9001".to_string()).unwrap();
    assert_eq!(
        config.explain_bind(1, &in_use),
        "bob1's address 127.0.0.1:9001 is in use: is bob1 already running?"
    );
}

#[test]
fn an_address_that_another_node_has_cannot_be_given() {
    let mut config = Config::load(Path::new(DEFAULT_PATH)).unwrap();
    let error = config
        .listen_at(1, "localhost:8002".to_string())
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "--address localhost:8002: that is bob2's address in config/local.toml"
    );
    config.listen_at(1, "127.0.0.1:8001".to_string()).unwrap();
}

#[test]
fn the_embedded_game_numbers_its_nodes_in_order() {
    let config = Config::embedded(vec![
        "127.0.0.1:40001".to_string(),
        "127.0.0.1:40002".to_string(),
    ]);
    assert_eq!(config.node(2).unwrap().name, "bob2");
    assert_eq!(config.node(2).unwrap().address, "127.0.0.1:40002");
    assert_eq!(config.nodes.len(), 2);
}
