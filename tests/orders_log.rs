//! The writer of orders.log on good and on failing disks, and what `verify` accepts.

// Clippy allows unwrap in test functions, and not in what they share.
#![allow(clippy::unwrap_used)]

use std::cell::RefCell;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use raftian::command::Command;
use raftian::game::Game;
use raftian::machine::{FIRST_DIGEST, Machine, Order, chain};
use raftian::orders_log::{MAX_WAITING, OrdersLog, VerifyError, verify};
use raftian::raft::{Entry, Payload};

/// The orders of a game in which player 2 is attacked again and again.
fn orders(count: u64) -> Vec<Order> {
    let mut machine = Machine::new(Game::new((1..=3).map(|id| (id, format!("bob{id}")))));
    let entry = |index| Entry {
        index,
        term: 1 + index / 4,
        payload: match index % 4 {
            1 => Payload::Noop,
            _ => Payload::Command(Arc::new(Command::new("me", index, "attack 2").unwrap())),
        },
    };
    (1..=count)
        .map(|index| machine.apply(&entry(index)))
        .collect()
}

fn lines(count: u64) -> String {
    orders(count)
        .iter()
        .map(|order| order.line() + "\n")
        .collect()
}

fn write(dir: &Path, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
    fs::create_dir_all(dir.join(name)).unwrap();
    let path = dir.join(name).join("orders.log");
    fs::write(&path, text).unwrap();
    path
}

mod writing {
    use super::*;

    #[test]
    fn the_file_has_one_line_for_each_order() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = OrdersLog::create(&dir.path().join("logs/bob1")).unwrap();
        for order in orders(10) {
            log.append(&order);
        }
        log.flush();
        let text = fs::read_to_string(dir.path().join("logs/bob1/orders.log")).unwrap();
        assert_eq!(text, lines(10));
        assert!(text.starts_with("1\t1\tnoop\tok\t"));
        assert_eq!(
            text.lines().nth(1).unwrap().split('\t').nth(3),
            Some("hp 70")
        );
        assert_eq!(log.problem(), None);
    }

    #[test]
    fn what_was_not_flushed_is_written_when_the_log_is_dropped() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = OrdersLog::create(dir.path()).unwrap();
        log.append(&orders(1)[0]);
        drop(log);
        assert_eq!(
            fs::read_to_string(dir.path().join("orders.log")).unwrap(),
            lines(1)
        );
    }

    #[test]
    fn an_earlier_log_is_kept_under_the_next_number_and_never_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let read = |name: &str| fs::read_to_string(dir.path().join(name)).unwrap();
        for count in 1..=3 {
            let mut log = OrdersLog::create(dir.path()).unwrap();
            orders(count).iter().for_each(|order| log.append(order));
        }
        assert_eq!(read("orders.log.1"), lines(1));
        assert_eq!(read("orders.log.2"), lines(2));
        assert_eq!(read("orders.log"), lines(3));

        // The latest has the highest number, even when a lower one is free.
        fs::remove_file(dir.path().join("orders.log.1")).unwrap();
        fs::write(dir.path().join("orders.log.9"), "mine").unwrap();
        fs::write(dir.path().join("orders.log.old"), "mine too").unwrap();
        drop(OrdersLog::create(dir.path()).unwrap());
        assert_eq!(read("orders.log.10"), lines(3));
        assert_eq!(read("orders.log.9"), "mine");
        assert_eq!(read("orders.log.old"), "mine too");
        assert_eq!(read("orders.log.2"), lines(2));
        assert_eq!(read("orders.log"), "");
    }

    #[test]
    fn a_log_that_another_process_has_open_goes_on_in_the_renamed_file() {
        let dir = tempfile::tempdir().unwrap();
        let mut first = OrdersLog::create(dir.path()).unwrap();
        let mut second = OrdersLog::create(dir.path()).unwrap();
        orders(2).iter().for_each(|order| first.append(order));
        orders(3).iter().for_each(|order| second.append(order));
        drop((first, second));
        let read = |name: &str| fs::read_to_string(dir.path().join(name)).unwrap();
        assert_eq!(read("orders.log.1"), lines(2));
        assert_eq!(read("orders.log"), lines(3));
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_an_error_and_the_node_can_run_without_a_log() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("logs"), "a file").unwrap();
        let below = dir.path().join("logs/bob1");
        let error = OrdersLog::create(&below).unwrap_err();
        let mut log = OrdersLog::without_file(&below, &error);
        log.append(&orders(1)[0]);
        log.flush();
        assert!(log.problem().unwrap().contains("orders are not logged"));
    }
}

/// A disk with little room, which can be given more.
#[derive(Clone, Default)]
struct Disk(Rc<RefCell<(Vec<u8>, usize)>>);

impl Disk {
    fn with_room(room: usize) -> Disk {
        Disk(Rc::new(RefCell::new((Vec::new(), room))))
    }

    fn add_room(&self, room: usize) {
        self.0.borrow_mut().1 += room;
    }

    fn text(&self) -> String {
        String::from_utf8(self.0.borrow().0.clone()).unwrap()
    }
}

impl Write for Disk {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let (data, room) = &mut *self.0.borrow_mut();
        let count = bytes.len().min(*room - data.len());
        if count == 0 {
            return Err(io::ErrorKind::StorageFull.into());
        }
        data.extend_from_slice(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

mod full_disk {
    use super::*;

    #[test]
    fn at_every_byte_the_file_is_a_beginning_of_the_whole_and_is_completed_when_there_is_room() {
        let whole = lines(8);
        for room in 0..whole.len() {
            let disk = Disk::with_room(room);
            let mut log = OrdersLog::new(disk.clone(), PathBuf::from("orders.log"));
            for order in orders(8) {
                log.append(&order);
                log.flush();
            }
            assert_eq!(disk.text(), whole[..room]);
            let problem = log.problem().unwrap();
            assert!(problem.starts_with("orders.log: ") && problem.contains("trying again"));

            // Room for half a line first: the rest follows it later.
            disk.add_room(10);
            log.flush();
            assert_eq!(disk.text(), whole[..whole.len().min(room + 10)]);
            disk.add_room(whole.len());
            log.flush();
            assert_eq!(disk.text(), whole);
            assert_eq!(log.problem(), None);
        }
    }

    #[test]
    fn a_disk_that_stays_full_ends_the_log_without_a_gap_and_memory_stays_bounded() {
        let disk = Disk::with_room(10);
        let mut log = OrdersLog::new(disk.clone(), PathBuf::from("orders.log"));
        let mut order = orders(1).remove(0);
        order.command = "x".repeat(1 << 20);
        for _ in 0..MAX_WAITING >> 20 {
            log.append(&order);
            log.flush();
        }
        assert!(log.problem().unwrap().contains("ends early"));
        // Room that comes too late is not used: lines are missing by now.
        let before = disk.text();
        disk.add_room(2 * MAX_WAITING);
        log.append(&order);
        log.flush();
        assert_eq!(disk.text(), before);
        assert_eq!(before.len(), 10);
    }

    #[test]
    fn room_that_comes_in_time_saves_the_log() {
        let disk = Disk::with_room(10);
        let mut log = OrdersLog::new(disk.clone(), PathBuf::from("orders.log"));
        let mut order = orders(1).remove(0);
        order.command = "x".repeat(1 << 20);
        for _ in 0..(MAX_WAITING >> 20) - 1 {
            log.append(&order);
            log.flush();
        }
        disk.add_room(2 * MAX_WAITING);
        log.append(&order);
        assert_eq!(log.problem(), None);
        log.flush();
        assert_eq!(disk.text().lines().count(), MAX_WAITING >> 20);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_systems_own_full_device_is_reported_too() {
        let full = fs::OpenOptions::new()
            .write(true)
            .open("/dev/full")
            .unwrap();
        let mut log = OrdersLog::new(full, PathBuf::from("/dev/full"));
        log.append(&orders(1)[0]);
        log.flush();
        assert!(log.problem().unwrap().contains("No space left on device"));
    }
}

mod resuming {
    use super::*;

    fn resume_with(text: &str, from: usize, count: u64) -> String {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("orders.log"), text).unwrap();
        let mut log = OrdersLog::resume(dir.path()).unwrap();
        for order in &orders(count)[from..] {
            log.append(order);
        }
        drop(log);
        assert!(!dir.path().join("orders.log.1").exists());
        fs::read_to_string(dir.path().join("orders.log")).unwrap()
    }

    #[test]
    fn a_restart_repeats_no_line_wherever_the_last_run_was_cut_off() {
        let whole = lines(6);
        for cut in 0..=whole.len() {
            assert_eq!(resume_with(&whole[..cut], 0, 9), lines(9), "cut at {cut}");
        }
        // After a snapshot entries are applied from its end on.
        assert_eq!(resume_with(&lines(6), 3, 9), lines(9));
        assert_eq!(resume_with(&lines(6), 6, 9), lines(9));
    }

    #[test]
    fn a_log_goes_on_after_a_gap_that_a_snapshot_filled() {
        let text = resume_with(&lines(3), 6, 9);
        assert_eq!(text.lines().count(), 6);
        assert!(text.lines().nth(3).unwrap().starts_with("7\t"));
    }

    #[test]
    fn a_file_that_is_no_orders_log_is_moved_aside() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("orders.log"), "hello\n").unwrap();
        drop(OrdersLog::resume(dir.path()).unwrap());
        let aside = fs::read_to_string(dir.path().join("orders.log.1")).unwrap();
        assert_eq!(aside, "hello\n");
        assert_eq!(
            fs::read_to_string(dir.path().join("orders.log")).unwrap(),
            ""
        );
    }

    #[test]
    fn a_file_of_another_game_is_left_alone_and_told() {
        let dir = tempfile::tempdir().unwrap();
        let other = "1\t1\tnoop\tok\t0123456789abcdef\n";
        fs::write(dir.path().join("orders.log"), other).unwrap();
        let mut log = OrdersLog::resume(dir.path()).unwrap();
        for order in &orders(3) {
            log.append(order);
        }
        assert!(log.problem().unwrap().contains("another game"));
        drop(log);
        assert_eq!(
            fs::read_to_string(dir.path().join("orders.log")).unwrap(),
            other
        );
    }

    #[test]
    fn a_longer_file_of_another_game_is_noticed_at_the_first_order_that_is_applied_anew() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("orders.log"), lines(900)).unwrap();
        let mut log = OrdersLog::resume(dir.path()).unwrap();
        let orders = orders(50);
        log.append(&orders[48]);
        assert_eq!(log.problem(), None);
        log.append(&Order {
            digest: "0123456789abcdef".to_string(),
            ..orders[49].clone()
        });
        assert!(log.problem().unwrap().contains("another game"));
        drop(log);
        let text = fs::read_to_string(dir.path().join("orders.log")).unwrap();
        assert_eq!(text, lines(900));
    }
}

mod verifying {
    use super::*;

    #[test]
    fn equal_files_pass_up_to_the_shorter_one_and_each_is_summed_up() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), "bob2", lines(9));
        write(dir.path(), "bob1", lines(12));
        write(dir.path(), "bob3", "");
        fs::create_dir(dir.path().join("empty")).unwrap();
        fs::write(dir.path().join("notes.txt"), "hello").unwrap();
        // Earlier logs and deeper folders are other games.
        fs::write(dir.path().join("bob1/orders.log.1"), "junk").unwrap();
        write(dir.path(), "sample/bob1", "junk");

        let report = verify(dir.path()).unwrap();
        let found: Vec<_> = report
            .files
            .iter()
            .map(|file| {
                (
                    file.name.as_str(),
                    file.lines,
                    file.digest.as_str(),
                    file.torn,
                )
            })
            .collect();
        let orders = orders(12);
        assert_eq!(
            found,
            [
                ("bob1", 12, orders[11].digest.as_str(), false),
                ("bob2", 9, orders[8].digest.as_str(), false),
                ("bob3", 0, FIRST_DIGEST, false),
            ]
        );
    }

    #[test]
    fn a_nodes_own_folder_and_a_single_file_can_be_checked_too() {
        let dir = tempfile::tempdir().unwrap();
        let path = write(dir.path(), "bob1", lines(5));
        for target in [dir.path().join("bob1"), path] {
            let report = verify(&target).unwrap();
            assert_eq!(report.files.len(), 1);
            assert_eq!(
                (report.files[0].name.as_str(), report.files[0].lines),
                ("bob1", 5)
            );
        }
    }

    #[test]
    fn nothing_to_verify_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("bob1")).unwrap();
        assert!(matches!(verify(dir.path()), Err(VerifyError::NoFiles(_))));
        let missing = dir.path().join("missing");
        assert!(matches!(verify(&missing), Err(VerifyError::Io(path, _)) if path == missing));
    }

    #[test]
    fn a_line_that_differs_is_found_wherever_it_is_and_between_whichever_files() {
        let whole = lines(12);
        for wrong in 1..=12 {
            // The first file is short: what lies beyond it is compared as well.
            let dir = tempfile::tempdir().unwrap();
            write(dir.path(), "bob1", lines(3));
            write(dir.path(), "bob2", &whole);
            let changed: String = (1..)
                .zip(whole.lines())
                .map(|(number, line)| match number == wrong {
                    true => line.replace('\t', "\t\t") + "\n",
                    false => line.to_string() + "\n",
                })
                .collect();
            write(dir.path(), "bob3", &changed);
            let error = verify(dir.path()).unwrap_err();
            let VerifyError::Differ {
                line,
                first,
                second,
            } = &error
            else {
                panic!("{error}");
            };
            let measure = if wrong <= 3 { "bob1" } else { "bob2" };
            assert_eq!(*line, wrong);
            assert_eq!(first.0, dir.path().join(measure).join("orders.log"));
            assert_eq!(second.0, dir.path().join("bob3").join("orders.log"));
            let number = wrong as usize - 1;
            assert_eq!(first.1, whole.lines().nth(number).unwrap().as_bytes());
            assert_eq!(second.1, changed.lines().nth(number).unwrap().as_bytes());

            let details = error.details();
            assert!(
                details[0].ends_with(whole.lines().nth(number).unwrap()),
                "{details:?}"
            );
            assert!(
                details[1].contains(&format!("bob3/orders.log:{wrong}: ")),
                "{details:?}"
            );
        }
    }

    /// What one file alone must not contain, and what is said about it.
    #[test]
    fn each_line_is_checked_by_itself_too() {
        let good = lines(4);
        let line = |number: u64, index: &str, term: &str, command: &str, outcome: &str| {
            let previous = match number {
                1 => FIRST_DIGEST.to_string(),
                _ => orders(number - 1).pop().unwrap().digest,
            };
            let digest = chain(
                &previous,
                index.parse().unwrap(),
                term.parse().unwrap(),
                command,
                outcome,
            );
            format!("{index}\t{term}\t{command}\t{outcome}\t{digest}\n")
        };
        let digest = orders(4).pop().unwrap().digest;
        let table: Vec<(String, u64, &str)> = vec![
            (
                good.replacen("hp 70", "hp 40", 1),
                2,
                "the digest should be ",
            ),
            (
                good.replacen("attack 2", "attack 1", 1),
                2,
                "the digest should be ",
            ),
            (
                good.replace(&digest, &digest.to_uppercase()),
                4,
                "the digest should be ",
            ),
            (
                good.replace(&digest, &digest[..15]),
                4,
                "the digest should be ",
            ),
            (good.replacen('\n', "\r\n", 1), 1, "the digest should be "),
            (good.replacen('\t', " ", 1), 1, "not five columns"),
            (good.replacen('\n', "\t\n", 1), 1, "not five columns"),
            (good.clone() + "\n", 5, "not five columns"),
            (
                good.lines().skip(1).map(|l| format!("{l}\n")).collect(),
                1,
                "the index should be 1",
            ),
            (
                good.clone() + &line(5, "6", "2", "noop", "ok"),
                5,
                "the index should be 5",
            ),
            (
                good.clone() + &line(5, "5", "1", "noop", "ok"),
                5,
                "term 1 follows term 2",
            ),
            (line(1, "1", "0", "noop", "ok"), 1, "not a term"),
            (line(1, "01", "1", "noop", "ok"), 1, "the index should be 1"),
            (line(1, "+1", "1", "noop", "ok"), 1, "the index should be 1"),
            (line(1, "1", "01", "noop", "ok"), 1, "not a term"),
            (
                "99999999999999999999\t1\tnoop\tok\tx\n".to_string(),
                1,
                "the index should be 1",
            ),
        ];
        for (text, number, contains) in table {
            let dir = tempfile::tempdir().unwrap();
            write(dir.path(), "bob1", &text);
            match verify(dir.path()) {
                Err(VerifyError::Wrong { line, reason, .. }) => {
                    assert_eq!(line, number, "{text}{reason}");
                    assert!(reason.contains(contains), "{text}{reason}");
                }
                other => panic!("{text}{other:?}"),
            }
        }
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), "bob1", good + &line(5, "5", "7", "a\\tb", "x"));
        assert_eq!(verify(dir.path()).unwrap().files[0].lines, 5);
    }

    /// The lines of these indexes.
    fn some(count: u64, keep: impl Fn(u64) -> bool) -> String {
        let lines = lines(count);
        let numbered = (1..).zip(lines.lines()).filter(|(index, _)| keep(*index));
        numbered.map(|(_, line)| format!("{line}\n")).collect()
    }

    #[test]
    fn what_a_file_leaves_out_passes_where_another_has_it() {
        for from in 1..=12 {
            for to in from..=12 {
                let dir = tempfile::tempdir().unwrap();
                write(
                    dir.path(),
                    "bob1",
                    some(12, |index| !(from..=to).contains(&index)),
                );
                write(dir.path(), "bob2", lines(12));
                let files = verify(dir.path()).unwrap().files;
                let missing = if to == 12 { 0 } else { to - from + 1 };
                assert_eq!(
                    (files[0].lines, files[0].missing),
                    (12 - (to - from + 1), missing)
                );
                assert_eq!((files[1].lines, files[1].missing), (12, 0));
            }
        }
        // Each bridges the other's gap.
        let dir = tempfile::tempdir().unwrap();
        write(
            dir.path(),
            "bob1",
            some(12, |index| !(3..=5).contains(&index)),
        );
        write(
            dir.path(),
            "bob2",
            some(12, |index| !(6..=9).contains(&index)),
        );
        let files = verify(dir.path()).unwrap().files;
        assert_eq!((files[0].missing, files[1].missing), (3, 4));
    }

    #[test]
    fn what_no_file_has_cannot_be_checked_and_does_not_pass() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["bob1", "bob2"] {
            write(
                dir.path(),
                name,
                some(12, |index| !(3..=5).contains(&index)),
            );
        }
        let error = verify(dir.path()).unwrap_err();
        assert!(matches!(error, VerifyError::Wrong { line: 3, .. }));
        assert!(
            error.to_string().contains("the index should be 3"),
            "{error}"
        );
    }

    #[test]
    fn the_digest_after_a_gap_must_follow_from_the_lines_that_fill_it() {
        let dir = tempfile::tempdir().unwrap();
        let after = some(12, |index| index > 5).replacen("\t", "\t9", 1);
        write(dir.path(), "bob1", some(12, |index| index < 3) + &after);
        write(dir.path(), "bob2", lines(5));
        assert!(verify(dir.path()).is_err());
        // An index that goes back is out of place, whoever else has it.
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), "bob1", lines(5) + &some(12, |index| index == 3));
        write(dir.path(), "bob2", lines(12));
        assert!(matches!(
            verify(dir.path()),
            Err(VerifyError::Differ { line: 6, .. })
        ));
    }

    #[test]
    fn half_a_last_line_is_left_out_and_told() {
        let (whole, long) = (lines(3), lines(6));
        for cut in whole.len() + 1..lines(4).len() {
            let dir = tempfile::tempdir().unwrap();
            write(dir.path(), "bob1", &long[..cut]);
            write(dir.path(), "bob2", &long);
            let files = verify(dir.path()).unwrap().files;
            assert_eq!((files[0].lines, files[0].torn), (3, true));
            assert_eq!(files[0].digest, orders(3)[2].digest);
            assert_eq!((files[1].lines, files[1].torn), (6, false));
        }
        // Alone, too; but not when it is the beginning of something else.
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), "bob1", whole + "4\t1\tatt");
        let files = verify(dir.path()).unwrap().files;
        assert_eq!((files[0].lines, files[0].torn), (3, true));
        write(dir.path(), "bob2", &long);
        assert!(matches!(
            verify(dir.path()),
            Err(VerifyError::Differ { line: 4, .. })
        ));
    }

    #[test]
    fn bytes_that_are_no_text_are_refused_and_do_not_reach_the_terminal() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), "bob1", b"1\t1\t\x1b[2J\xff\tok\t0\n");
        let error = verify(dir.path()).unwrap_err();
        assert!(error.to_string().ends_with("not UTF-8 text"), "{error}");
        let details = error.details();
        assert_eq!(details.len(), 1);
        assert!(
            details[0].contains("1\t1\t\\u{1b}[2J\u{fffd}\tok"),
            "{details:?}"
        );
    }

    #[test]
    fn a_line_without_end_is_refused_before_it_fills_the_memory() {
        let dir = tempfile::tempdir().unwrap();
        let path = write(dir.path(), "bob1", lines(2));
        // A line that ends, but not soon enough, is not read to its end.
        let mut long = lines(2).into_bytes();
        long.extend(vec![b'x'; 9 << 20]);
        long.push(b'\n');
        fs::write(&path, long).unwrap();
        let error = verify(dir.path()).unwrap_err();
        assert!(
            error.to_string().ends_with(":3: longer than 8 MiB"),
            "{error}"
        );
        fs::write(&path, lines(2)).unwrap();
        // A sparse file: 8 GiB of zeros that take no room.
        let file = fs::OpenOptions::new().append(true).open(path).unwrap();
        file.set_len(8 << 30).unwrap();
        let error = verify(dir.path()).unwrap_err();
        assert!(
            matches!(&error, VerifyError::Wrong { line: 3, text, .. } if text.is_empty()),
            "{error}"
        );
    }
}
