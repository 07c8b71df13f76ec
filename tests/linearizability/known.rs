//! Histories of which everybody can see whether they are linearizable.

use std::thread;

use crate::linearizability::{
    Action, Answer, Failure, Operation, Outcome, Recorder, Value, Violation, Why, apply, check,
    check_within, timeline,
};
use crate::script::history;
use crate::slow;

/// Small enough for every order to be tried.
const SMALL: usize = 8;

#[track_caller]
fn accepted(script: &str) {
    let history = history(script);
    let linearizable = check(&history).unwrap();
    assert_eq!(linearizable.operations, history.len());
    if history.len() <= SMALL {
        assert!(slow::by_permutation(&history));
    }
    assert!(slow::by_sets(&history));
}

#[track_caller]
fn violation(history: &[Operation]) -> Violation {
    match check(history) {
        Err(Failure::Violation(violation)) => violation,
        other => panic!("{other:?}"),
    }
}

/// The history is a violation, and these clients' operations are what shows it.
#[track_caller]
fn rejected(script: &str, clients: &[u64]) -> Violation {
    let history = history(script);
    let violation = violation(&history);
    if history.len() <= SMALL {
        assert!(!slow::by_permutation(&history));
    }
    assert!(!slow::by_sets(&history));
    assert!(violation.is_smallest);
    let shown: Vec<u64> = violation.smallest.iter().map(|o| o.client).collect();
    assert_eq!(shown, clients, "{violation}");
    assert_shows(&history, &violation);
    violation
}

/// What is shown is a violation, whatever became of the rest. Of each of the others is known what it
/// left if it took effect, but neither that it did nor what it found.
#[track_caller]
pub fn assert_shows(history: &[Operation], violation: &Violation) {
    let is_shown = |operation: &Operation| violation.smallest.contains(operation);
    let mut others_said_nothing = Vec::new();
    for operation in history {
        let mut operation = operation.clone();
        if !is_shown(&operation)
            && let Outcome::Completed { answer, .. } = &operation.outcome
        {
            operation.action = match (operation.action, answer) {
                (Action::Cas { new, .. }, Answer::Swapped(true)) => Action::Put(new),
                (Action::Incr, Answer::Number(number)) => Action::Put(Value::Int(*number)),
                (action, Answer::Done) => action,
                _ => continue,
            };
        }
        others_said_nothing.push(operation);
    }
    let shown = violation.to_string();
    assert!(!slow::by_sets_if(&others_said_nothing, is_shown), "{shown}");
}

// ----------------------------------------------------------------------- one after the other

#[test]
fn nothing_at_all_is_linearizable() {
    assert_eq!(check(&[]).unwrap().keys, 0);
}

#[test]
fn what_one_client_does_after_the_other_is_as_the_model_says() {
    accepted(
        "1  0  1 get = -
         1  2  3 put a
         1  4  5 get = a
         1  6  7 append bc
         1  8  9 get = abc
         1 10 11 incr = refused
         1 12 13 cas abc 7 = yes
         1 14 15 cas abc 8 = no
         1 16 17 incr = 8
         1 18 19 append x = refused
         1 20 21 delete
         1 22 23 delete
         1 24 25 cas - 0x00ff = yes
         1 26 27 append x = refused",
    );
    accepted(
        "1  0  1 put 0x00ff
         1  2  3 incr = refused
         1  4  5 get = 0x00ff
         1  6  7 delete
         1  8  9 incr = 1
         1 10 11 delete
         1 12 13 append b
         1 14 15 get = b",
    );
}

#[test]
fn the_greatest_integer_is_not_incremented() {
    accepted(
        "1 0 1 put 9223372036854775806
         1 2 3 incr = 9223372036854775807
         1 4 5 incr = refused
         1 6 7 get = 9223372036854775807",
    );
    rejected(
        "1 0 1 put 9223372036854775806
         2 2 3 incr = refused",
        &[2],
    );
}

#[test]
fn a_refusal_of_what_is_possible_is_a_violation() {
    rejected(
        "1 0 1 put abc
         2 2 3 append d = refused",
        &[2],
    );
    // There is nothing that could be refused.
    rejected("1 0 1 put a = refused", &[1]);
    rejected("1 0 1 get = refused", &[1]);
}

#[test]
fn what_is_alike_in_print_is_not_the_same() {
    let mut operations = history("1 0 1 put 1");
    operations[0].action = Action::Put(Value::Text("1".to_string()));
    operations.extend(history("2 2 3 get = 1"));
    violation(&operations);
    // The empty text is a value.
    operations[0].action = Action::Put(Value::Text(String::new()));
    operations[1] = history("2 2 3 get = -").remove(0);
    violation(&operations);
}

#[test]
fn each_key_is_a_register_of_its_own() {
    accepted(
        "1 0 1 x:put a
         1 2 3 y:get = -
         1 4 5 y:put b
         1 6 7 x:get = a",
    );
    let violation = rejected(
        "1 0 1 x:put a
         2 2 3 y:put b
         3 4 5 y:get = a",
        &[3],
    );
    assert_eq!(violation.key, "y");
}

// ----------------------------------------------------------------------- at the same time

#[test]
fn what_overlaps_may_happen_in_either_order() {
    for found in ["a", "b"] {
        accepted(&format!(
            "1 0 10 put a
             2 0 10 put b
             3 11 12 get = {found}"
        ));
    }
    for found in ["-", "a"] {
        accepted(&format!("1 0 10 put a\n2 5 6 get = {found}"));
    }
}

#[test]
fn two_gets_that_overlap_a_put_may_find_old_and_new() {
    accepted(
        "1 0 1 put old
         2 10 50 put new
         3 20 30 get = old
         3 31 40 get = new",
    );
    // They overlap each other as well.
    accepted(
        "1 0 1 put old
         2 10 50 put new
         3 20 32 get = new
         4 31 40 get = old",
    );
}

#[test]
fn equal_times_say_nothing_about_the_order() {
    accepted("1 0 5 put a\n2 5 6 get = -");
    accepted("1 0 5 get = a\n2 5 6 put a");
    rejected("1 0 5 put a\n2 6 7 get = -", &[1, 2]);
}

#[test]
fn a_chain_of_overlaps_has_one_order_only() {
    accepted(
        "1 0 100 incr = 3
         2 0 100 incr = 1
         3 0 100 incr = 4
         4 0 100 incr = 2
         5 0 100 get = 3",
    );
    rejected(
        "1 0 100 incr = 3
         2 0 100 incr = 1
         3 0 100 incr = 5
         4 0 100 incr = 2
         5 0 100 get = 3",
        &[3],
    );
}

#[test]
fn a_slow_operation_may_take_effect_at_any_time_until_it_returns() {
    let mut script = "1 0 1000 put slow\n".to_string();
    for i in 1..40 {
        let (invoked, returned) = (i * 10, i * 10 + 5);
        let action = match i {
            20 => "get = slow".to_string(),
            i if i % 2 == 0 => format!("get = v{}", i - 1),
            i => format!("put v{i}"),
        };
        script += &format!("2 {invoked} {returned} {action}\n");
    }
    check(&history(&script)).unwrap();
}

// ----------------------------------------------------------------------- violations

#[test]
fn a_stale_read_is_a_violation() {
    rejected(
        "1 0 1 put a
         2 2 3 put b
         3 4 5 get = a",
        &[2, 3],
    );
}

#[test]
fn a_read_from_the_future_is_a_violation() {
    let violation = rejected(
        "1 0 1 put a
         2 2 3 get = b
         3 4 5 put b",
        &[2],
    );
    assert_eq!(violation.beside, history("3 4 5 put b"));
}

#[test]
fn a_lost_update_is_a_violation() {
    rejected(
        "1 0 1 put 5
         2 2 10 incr = 6
         3 2 10 incr = 6
         4 11 12 get = 6",
        &[2, 3],
    );
    rejected(
        "1 0 1 append a
         2 2 3 append b
         3 4 5 get = a",
        &[2, 3],
    );
}

#[test]
fn a_read_of_a_value_that_was_never_written_is_a_violation() {
    let violation = rejected(
        "1 0 1 put a
         2 0 9 put b
         3 4 5 get = c",
        &[3],
    );
    assert!(violation.beside.is_empty());
}

#[test]
fn an_incr_that_counts_twice_is_a_violation() {
    rejected(
        "1 0 1 incr = 1
         2 2 3 incr = 3",
        &[2],
    );
    rejected(
        "1 0 1 put 0
         2 2 3 incr = 1
         3 4 5 get = 2",
        &[3],
    );
}

#[test]
fn a_cas_that_succeeded_twice_is_a_violation() {
    rejected(
        "1 0 1 put free
         2 2 10 cas free mine = yes
         3 3 9 cas free mine = yes",
        &[2, 3],
    );
}

#[test]
fn a_cas_that_failed_for_no_reason_is_a_violation() {
    rejected(
        "1 0 1 put a
         2 2 3 cas a b = no",
        &[1, 2],
    );
}

#[test]
fn reads_that_go_back_are_a_violation() {
    let violation = rejected(
        "1 0 1 put old
         2 10 50 put new
         3 20 30 get = new
         4 31 40 get = old",
        &[3, 4],
    );
    assert_eq!(violation.beside, history("1 0 1 put old\n2 10 50 put new"));
}

#[test]
fn an_update_that_comes_in_the_middle_is_a_violation() {
    rejected(
        "1 0 1 append a
         2 2 3 append b
         3 4 5 get = ba",
        &[2, 3],
    );
}

#[test]
fn a_delete_undone_is_a_violation() {
    rejected(
        "1 0 1 put a
         2 2 3 delete
         3 4 5 get = a",
        &[2, 3],
    );
}

#[test]
fn a_dirty_read_of_a_failed_write_is_a_violation() {
    let violation = rejected(
        "1 0 1 put a
         2 2 ! put b
         3 4 5 get = b",
        &[3],
    );
    assert_eq!(violation.beside, history("2 2 ! put b"));
    accepted(
        "1 0 1 put a
         2 2 ! put b
         3 4 5 get = a",
    );
    let violation = rejected("1 0 ! incr\n2 2 3 get = 1", &[2]);
    assert_eq!(violation.beside, history("1 0 ! incr"));
}

// ----------------------------------------------------------------------- unknown outcomes

#[test]
fn an_unknown_write_may_take_effect_or_not() {
    for found in ["a", "b"] {
        accepted(&format!(
            "1 0 1 put a
             2 2 ? put b
             3 10 11 get = {found}"
        ));
    }
    accepted("1 0 ? get\n2 0 ? put a");
}

#[test]
fn an_unknown_write_may_take_effect_late() {
    accepted(
        "1 0 1 put a
         2 2 ? put b
         3 10 11 get = a
         1 20 21 put c
         3 30 31 get = c
         3 40 41 get = b",
    );
}

#[test]
fn an_unknown_write_takes_no_effect_before_it_was_invoked() {
    rejected(
        "1 0 1 put a
         2 2 3 get = b
         3 4 ? put b",
        &[2],
    );
}

#[test]
fn an_unknown_write_takes_effect_once() {
    rejected(
        "1 0 1 put 0
         2 2 ? incr
         3 10 11 get = 2",
        &[3],
    );
    // Two of them are two.
    accepted(
        "1 0 1 put 0
         2 2 ? incr
         2 3 ? incr
         3 10 11 get = 2",
    );
    rejected(
        "1 0 1 put a
         2 2 ? put b
         3 10 11 get = b
         1 20 21 put c
         3 30 31 get = b",
        &[3, 1, 3],
    );
}

#[test]
fn an_unknown_write_does_not_appear_and_disappear_again() {
    let violation = rejected(
        "1 0 1 put a
         2 2 ? put b
         3 10 11 get = b
         4 20 21 get = a",
        &[3, 4],
    );
    assert_eq!(violation.beside, history("1 0 1 put a\n2 2 ? put b"));
}

#[test]
fn an_unknown_write_can_be_why_something_else_went_otherwise() {
    accepted(
        "1 0 1 put a
         2 2 ? delete
         3 10 11 cas a b = no
         3 20 21 get = -",
    );
    accepted(
        "1 0 1 put a
         2 2 ? put 0xff
         3 10 11 append b = refused
         4 12 13 incr = refused",
    );
    // One explains the other.
    accepted(
        "1 0 1 put a
         2 2 ? cas b c
         2 3 ? cas a b
         3 10 11 get = c",
    );
    accepted(
        "1 0 ? incr
         1 1 ? put 40
         1 2 ? incr
         3 10 11 get = 42",
    );
}

#[test]
fn unknown_writes_that_are_alike_are_used_in_the_order_of_their_invocations() {
    accepted(
        "1 0 ? incr
         2 1 2 incr = 2
         3 3 ? incr
         4 4 5 incr = 4",
    );
    rejected(
        "1 0 ? incr
         2 1 2 incr = 3
         3 3 ? incr",
        &[2],
    );
    // What nobody reads is alike as well: one of two explains one refusal, the other is too late.
    rejected(
        "1 0 ? put 5
         2 2 3 append x = refused
         3 4 5 put y
         4 6 7 append x = refused
         5 8 ? put 7",
        &[2, 3, 4],
    );
}

#[test]
fn thirty_unknown_writes_are_no_trouble() {
    let unknown = |action: fn(u64) -> String| -> String {
        let lines = (0..30).map(|i| format!("{i} {i} ? {}\n", action(i)));
        lines.collect()
    };
    let shuffled: String = (0..30).map(|i| format!("p{};", i * 7 % 30)).collect();
    for (writes, found) in [
        (unknown(|i| format!("put v{i}")), "v17"),
        (unknown(|_| "incr".to_string()), "30"),
        (unknown(|i| format!("append p{i};")), &shuffled),
        (unknown(|i| format!("cas {i} {}", i + 1)), "7"),
    ] {
        let start = "99 0 1 put 0\n".to_string();
        let start = if found == shuffled { "" } else { &start };
        let good = format!("{start}{writes}50 40 41 get = {found}\n51 50 51 get = {found}");
        check(&history(&good)).unwrap();
        let bad = format!("{good}\n52 60 61 get = {found}!");
        let violation = violation(&history(&bad));
        assert_eq!(
            violation.smallest,
            history(&format!("52 60 61 get = {found}!"))
        );
    }
}

// ----------------------------------------------------------------------- what is reported

#[test]
fn a_violation_is_shown_as_a_timeline_of_what_matters() {
    let mut script = String::new();
    for i in 0..50 {
        let time = i * 10;
        script += &format!("{} {time} {} put v{i}\n", i % 7, time + 5);
        script += &format!("8 {} {} get = v{i}\n", time + 6, time + 8);
    }
    script += "9 600 601 get = v48\n1 602 603 put later\n9 604 605 get = later\n";
    script += "1 0 1 y:put a\n2 2 3 y:get = -\n";
    let violation = violation(&history(&script));
    let expected = "\
not linearizable: key \"x\", 2 of 103 operations
No order of these gives these answers, whatever became of the others:

client  invoked  returned  operation  answer
     8      496       498  get        \"v49\"
     9      600       601  get        \"v48\"

Others that write what is found there, and do not explain it:

client  invoked  returned  operation  answer
     6      480       485  put \"v48\"  done
     0      490       495  put \"v49\"  done

Violations as well: [\"y\"]
";
    assert_eq!(violation.to_string(), expected);
    assert_eq!(format!("{:?}", Failure::Violation(violation)), expected);
}

#[test]
fn what_is_left_out_is_not_what_makes_the_violation() {
    // Without the put of a, a single get of a would be a violation. But the put is not forgotten.
    // What it left may be there until somebody finds something else.
    let violation = rejected(
        "1 0 1 put a
         2 2 3 get = a
         3 4 5 put b
         4 6 7 get = b
         5 8 9 get = a",
        &[4, 5],
    );
    assert_eq!(violation.beside, history("1 0 1 put a\n3 4 5 put b"));
    // One that was open all the time may take effect between the two.
    accepted(
        "1 0 9 put a
         2 2 3 get = -
         3 4 5 put b
         4 6 7 get = b
         5 8 9 get = a",
    );
    // The other one need not be shown to see that it took effect once at most.
    rejected(
        "1 0 1 put a
         6 0 9 put a
         3 4 5 put b
         4 6 7 get = b
         5 8 9 get = a
         5 10 11 get = b",
        &[5, 5],
    );
}

#[test]
fn a_timeline_has_unknown_and_failed_operations_and_long_values() {
    let mut operations = history(
        "12 1500 ? delete
         3 1000 1400 cas - 0x00ff = no
         4 1100 ! append tail",
    );
    operations[2].action = Action::Append("longer ".repeat(20) + "end");
    let expected = "\
client  invoked  returned  operation                                                                           answer
     3     1000      1400  cas nothing to 0x00ff                                                               no
     4     1100         -  append \"longer longer longer longer l...nger longer longer longer end\" (143 bytes)  failed
    12     1500         ?  delete                                                                              unknown
";
    let shown = timeline(&operations.iter().collect::<Vec<_>>());
    assert_eq!(shown, expected, "\n{shown}");
}

// ----------------------------------------------------------------------- limits

#[test]
fn what_takes_too_many_steps_is_undecided_and_no_pass() {
    let script: String = (0..12)
        .map(|i| format!("{i} 0 100 append {i};\n"))
        .collect();
    let script = script + "12 200 201 get = 11;10;9;8;7;6;5;4;3;2;1;0;";
    check(&history(&script)).unwrap();
    match check_within(&history(&script), 20) {
        Err(Failure::Undecided(undecided)) => {
            assert_eq!(undecided.why, Why::Limit(20));
            assert_eq!(
                undecided.to_string(),
                "undecided: key \"x\", 13 operations: 20 steps were not enough"
            );
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_violation_of_one_key_counts_though_another_key_is_undecided() {
    let script: String = (0..12)
        .map(|i| format!("{i} 0 100 append {i};\n"))
        .collect();
    let script = script + "12 200 201 get = 11;10;9;8;7;6;5;4;3;2;1;0;\n13 0 1 y:get = a";
    match check_within(&history(&script), 20) {
        Err(Failure::Violation(violation)) => assert_eq!(violation.key, "y"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn more_operations_at_once_than_can_be_told_apart_are_undecided() {
    let at_once = |count: u64| -> Vec<Operation> {
        let lines = (0..count).map(|i| format!("{i} 0 9 put {i}\n"));
        history(&lines.collect::<String>())
    };
    check(&at_once(128)).unwrap();
    match check(&at_once(129)) {
        Err(Failure::Undecided(undecided)) => assert_eq!(undecided.why, Why::TooWide(128)),
        other => panic!("{other:?}"),
    }
}

#[test]
#[should_panic(expected = "returned before")]
fn an_operation_that_returns_before_it_was_invoked_is_a_mistake_of_the_caller() {
    let _ = check(&history("1 5 4 get = -"));
}

// ----------------------------------------------------------------------- the recorder

#[test]
fn a_recorder_never_gives_a_time_twice_and_keeps_the_outcomes() {
    let recorder = Recorder::new();
    let registers = std::sync::Mutex::new(None);
    thread::scope(|scope| {
        for client in 0..4 {
            let (recorder, registers) = (&recorder, &registers);
            scope.spawn(move || {
                for _ in 0..100 {
                    let call = recorder.invoke(client, "x", Action::Incr);
                    let answer = apply(&mut registers.lock().unwrap(), &Action::Incr);
                    recorder.completed(call, answer);
                }
            });
        }
    });
    let unknown = recorder.invoke(9, "x", Action::Get);
    recorder.unknown(unknown);
    let failed = recorder.invoke(9, "x", Action::Put(Value::Int(5)));
    recorder.failed(failed);
    let _ = recorder.invoke(9, "x", Action::Delete);
    let last = recorder.invoke(9, "x", Action::Get);
    recorder.completed(last, Answer::Found(Some(Value::Int(400))));

    let history = recorder.history();
    assert_eq!(history.len(), 404);
    let mut times: Vec<u64> = history.iter().map(|o| o.invoked).collect();
    assert!(times.is_sorted());
    for operation in &history {
        if let Outcome::Completed { returned, .. } = operation.outcome {
            times.push(returned);
        }
    }
    times.sort_unstable();
    let count = times.len();
    times.dedup();
    assert_eq!(times.len(), count);
    let outcomes = history[400..403].iter().map(|o| o.outcome.clone());
    assert!(outcomes.eq([Outcome::Unknown, Outcome::Failed, Outcome::Unknown]));
    check(&history).unwrap();
}
