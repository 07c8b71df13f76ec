//! Draws the real screen as a picture: `cargo run --example screenshot -- docs/screen.svg`.
//!
//! A second argument such as `120x40` sets the size, a third (`mono`, `16`, `256`) the colours.

mod story;

use std::process::ExitCode;

use raftian::ui::svg::{replay, svg};
use raftian::ui::theme::{Depth, Theme};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let size = match arguments.get(1).map(|size| size.split_once('x')) {
        None => Some((80, 24)),
        Some(size) => size.and_then(|(w, h)| Some((w.parse().ok()?, h.parse().ok()?))),
    };
    let depth = match arguments.get(2).map(String::as_str) {
        None => Some(Depth::True),
        Some("256") => Some(Depth::Indexed),
        Some("16") => Some(Depth::Sixteen),
        Some("mono") => Some(Depth::Mono),
        Some(_) => None,
    };
    let (Some(path), Some(size), Some(depth)) = (arguments.first(), size, depth) else {
        eprintln!("usage: screenshot FILE.svg [COLUMNSxROWS] [mono|16|256]");
        return ExitCode::from(2);
    };
    let story = story::mid_game();
    let buffer = replay(story.seat(), Theme::new(depth), size, story.updates());
    match std::fs::write(path, svg(&buffer, "A game of Raftian in a terminal")) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("cannot write {path}: {error}");
            ExitCode::FAILURE
        }
    }
}
