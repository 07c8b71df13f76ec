//! A program that uses a cluster as its memory: how often has it been run, and by whom last?
//!
//! Start three nodes, each in a terminal of its own, and run it some times, also while one of them is
//! killed:
//!
//! ```sh
//! cargo run -- serve --machine kv --id 1    # and 2, and 3
//! cargo run --example kv -- 127.0.0.1:8001 127.0.0.1:8002 127.0.0.1:8003
//! ```

use std::error::Error;
use std::time::Duration;

use raftian::kv::client::Client;

fn main() -> Result<(), Box<dyn Error>> {
    let mut nodes: Vec<String> = std::env::args().skip(1).collect();
    if nodes.is_empty() {
        nodes = (8001..=8003)
            .map(|port| format!("127.0.0.1:{port}"))
            .collect();
    }
    let mut store = Client::new(nodes, Duration::from_secs(10));

    // Exactly once, however often the client has to send it.
    let runs = store.incr("example/runs")?;
    println!("run {runs}");

    // Optimistic: take what is there, and write only if it is there still.
    let me = format!("process {}", std::process::id());
    loop {
        let before = store.get("example/last")?;
        if store.cas("example/last", before.clone(), me.as_str())? {
            println!("the last one was {before:?}");
            break;
        }
    }

    for key in store.list("example/")? {
        println!("{key} = {:?}", store.get(&key)?);
    }
    Ok(())
}
