//! XML-RPC documents: what we write is what we and Python read, and what nobody should send us is
//! refused with the right fault.

// Everything here is a test, helpers too.
#![allow(clippy::unwrap_used)]

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use raftian::rpc::client::{CallError, Client};
use raftian::rpc::http::{self, Caller, Limits, Peers, Server, Service};
use raftian::rpc::value::{Call, Fault, Struct, Value};
use raftian::rpc::xml::{
    MAX_DEPTH, MAX_VALUES, decode_call, decode_response, encode_call, encode_response,
};

// ------------------------------------------------------------------------------- round trips

/// Text that XML can carry: everything but control characters and the two noncharacters.
fn text() -> impl Strategy<Value = String> {
    let awkward = prop::sample::select(vec![
        "",
        " ",
        "\r",
        "\n",
        "\r\n",
        "\t",
        "]]>",
        "<![CDATA[",
        "&amp;",
        "&",
        "<",
        ">",
        "'",
        "\"",
        "\u{85}",
        "\u{2028}",
        "\u{feff}",
        "\u{fffd}",
        "\u{7f}",
        "💥",
        "<!-- -->",
        "&#13;",
    ]);
    let piece = prop_oneof![
        awkward.prop_map(str::to_owned),
        "[^\u{0}-\u{8}\u{b}\u{c}\u{e}-\u{1f}\u{fffe}\u{ffff}]{0,8}",
    ];
    prop::collection::vec(piece, 0..4).prop_map(|pieces| pieces.concat())
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Nil),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::Int),
        any::<i32>().prop_map(|n| Value::Int(n.into())),
        any::<f64>()
            .prop_filter("XML-RPC has no NaN", |x| x.is_finite())
            .prop_map(Value::Double),
        text().prop_map(Value::String),
        "[0-9]{8}T[0-2][0-9]:[0-5][0-9]:[0-5][0-9]".prop_map(Value::DateTime),
        prop::collection::vec(any::<u8>(), 0..40).prop_map(Value::Base64),
    ];
    leaf.prop_recursive(6, 60, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::Array),
            prop::collection::vec((text(), inner), 0..6).prop_map(|members| {
                let mut unique = Struct::default();
                for (name, value) in members {
                    unique.insert(name, value);
                }
                Value::Struct(unique)
            }),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_call_is_read_as_it_was_written(
        method in "[a-zA-Z0-9_.:/]{1,30}",
        params in prop::collection::vec(value(), 0..4),
    ) {
        let document = encode_call(&method, &params);
        prop_assert_eq!(decode_call(&document), Ok(Call { method, params }));
    }

    #[test]
    fn a_response_is_read_as_it_was_written(value in value()) {
        prop_assert_eq!(decode_response(&encode_response(&Ok(value.clone()))), Ok(Ok(value)));
    }

    #[test]
    fn a_fault_is_read_as_it_was_written(code in any::<i32>(), message in text()) {
        let fault = Fault { code, message };
        prop_assert_eq!(decode_response(&encode_response(&Err(fault.clone()))), Ok(Err(fault)));
    }

    #[test]
    fn text_that_xml_cannot_carry_arrives_with_replacements(text in any::<String>()) {
        let arrives: String = text
            .chars()
            .map(|c| match c {
                '\t' | '\n' | '\r' => c,
                '\0'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => '\u{fffd}',
                c => c,
            })
            .collect();
        let document = encode_response(&Ok(Value::String(text)));
        prop_assert_eq!(decode_response(&document), Ok(Ok(Value::String(arrives))));
    }

    #[test]
    fn no_bytes_make_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = decode_call(&bytes);
        let _ = decode_response(&bytes);
    }

    #[test]
    fn no_heap_of_markup_makes_the_reader_panic(
        pieces in prop::collection::vec(prop::sample::select(MARKUP.to_vec()), 0..40),
    ) {
        let document = pieces.concat();
        let _ = decode_call(document.as_bytes());
        let _ = decode_response(document.as_bytes());
    }

    #[test]
    fn no_damage_makes_the_reader_panic(
        value in value(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        keep in any::<prop::sample::Index>(),
    ) {
        let mut document = encode_response(&Ok(value));
        for (place, byte) in damage {
            let place = place.index(document.len());
            document[place] = byte;
        }
        let _ = decode_response(&document);
        document.truncate(keep.index(document.len()));
        prop_assert!(decode_response(&document).is_err(), "a document that is cut off");
    }
}

const MARKUP: [&str; 36] = [
    "<?xml version='1.0'?>",
    "<methodCall>",
    "</methodCall>",
    "<methodName>",
    "</methodName>",
    "<params>",
    "</params>",
    "<param>",
    "</param>",
    "<value>",
    "</value>",
    "<value/>",
    "<struct>",
    "</struct>",
    "<member>",
    "</member>",
    "<name>",
    "</name>",
    "<array>",
    "</array>",
    "<data>",
    "</data>",
    "<int>",
    "</int>",
    "7",
    " ",
    "<nil/>",
    "<![CDATA[",
    "]]>",
    "<!--",
    "-->",
    "&lt;",
    "&",
    "<",
    ">",
    "\"",
];

#[test]
fn a_number_is_an_int_where_it_fits_and_an_i8_where_it_does_not() {
    for (n, written) in [
        (0, "<int>0</int>"),
        (-2_147_483_648, "<int>-2147483648</int>"),
        (2_147_483_647, "<int>2147483647</int>"),
        (2_147_483_648, "<i8>2147483648</i8>"),
        (-2_147_483_649, "<i8>-2147483649</i8>"),
        (i64::MAX, "<i8>9223372036854775807</i8>"),
        (i64::MIN, "<i8>-9223372036854775808</i8>"),
    ] {
        let document = encode_response(&Ok(Value::Int(n)));
        let document = String::from_utf8(document).unwrap();
        assert!(document.contains(written), "{document}");
        assert_eq!(decode_response(document.as_bytes()), Ok(Ok(Value::Int(n))));
    }
}

#[test]
fn a_double_that_is_no_number_is_written_as_nil() {
    for x in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let document = encode_response(&Ok(Value::Double(x)));
        assert_eq!(decode_response(&document), Ok(Ok(Value::Nil)));
    }
}

// --------------------------------------------------------------------------- what is accepted

/// A call with one parameter, written as given.
fn with_value(inside: &str) -> String {
    format!(
        "<methodCall><methodName>m</methodName><params><param>{inside}</param></params></methodCall>"
    )
}

fn read_value(inside: &str) -> Result<Value, Fault> {
    decode_call(with_value(inside).as_bytes()).map(|mut call| call.params.remove(0))
}

#[test]
fn every_type_is_read_in_every_spelling() {
    let string = |text: &str| Value::String(text.to_owned());
    for (inside, value) in [
        ("<value><int>-7</int></value>", Value::Int(-7)),
        ("<value><i4>+7</i4></value>", Value::Int(7)),
        ("<value><int>007</int></value>", Value::Int(7)),
        (
            "<value><i8>9223372036854775807</i8></value>",
            Value::Int(i64::MAX),
        ),
        (
            "<value><ex:i8 xmlns:ex='urn:x'>1</ex:i8></value>",
            Value::Int(1),
        ),
        ("<value><boolean>0</boolean></value>", Value::Bool(false)),
        ("<value><boolean>1</boolean></value>", Value::Bool(true)),
        (
            "<value><double>-12.5</double></value>",
            Value::Double(-12.5),
        ),
        ("<value><double>1e+16</double></value>", Value::Double(1e16)),
        ("<value><string>a b</string></value>", string("a b")),
        ("<value>a b</value>", string("a b")),
        ("<value> a </value>", string(" a ")),
        ("<value></value>", string("")),
        ("<value/>", string("")),
        ("<value> </value>", string(" ")),
        ("<value><string/></value>", string("")),
        ("<value><string>a<!-- c -->b</string></value>", string("ab")),
        ("<value>a<![CDATA[<&>]]>b</value>", string("a<&>b")),
        ("<value>&lt;&gt;&amp;&apos;&quot;</value>", string("<>&'\"")),
        ("<value>&#65;&#x42;&#x1F4a5;</value>", string("AB💥")),
        ("<value>a\r\nb\rc\nd&#13;</value>", string("a\nb\nc\nd\r")),
        ("<value><nil/></value>", Value::Nil),
        ("<value><nil></nil></value>", Value::Nil),
        ("<value><ex:nil/></value>", Value::Nil),
        (
            "<value><base64>aGk=</base64></value>",
            Value::Base64(b"hi".to_vec()),
        ),
        (
            "<value><base64>\n aG\r\n\tk=\n</base64></value>",
            Value::Base64(b"hi".to_vec()),
        ),
        ("<value><base64/></value>", Value::Base64(Vec::new())),
        (
            "<value><dateTime.iso8601>19980717T14:08:55</dateTime.iso8601></value>",
            Value::DateTime("19980717T14:08:55".to_owned()),
        ),
        (
            "<value><array><data/></array></value>",
            Value::Array(Vec::new()),
        ),
        (
            "\n <value> <array>\n<data> <value>1</value> <!-- c --> <value><int>2</int> </value>\n</data> </array> </value > ",
            Value::Array(vec![string("1"), Value::Int(2)]),
        ),
        ("<value><struct/></value>", Value::Struct(Struct::default())),
        (
            "<value><struct> <member> <name>a</name> <value>1</value> </member>\n</struct></value>",
            Struct::from([("a", "1".into())]).into(),
        ),
    ] {
        assert_eq!(read_value(inside), Ok(value), "{inside}");
    }
}

#[test]
fn a_document_may_have_a_declaration_a_byte_order_mark_comments_and_no_params() {
    for document in [
        "<methodCall><methodName>m</methodName></methodCall>",
        "<methodCall><methodName>m</methodName><params/></methodCall>",
        "<?xml version='1.0'?>\n<methodCall> <methodName>m</methodName> </methodCall>\n",
        "<?xml version=\"1.0\" encoding=\"UTF-8\" standalone='yes' ?><methodCall><methodName>m</methodName></methodCall>",
        "<?xml version='1.0' encoding='utf-8'?><!-- a --><methodCall><methodName>m</methodName></methodCall><!-- b -->",
        "\u{feff}<?xml version='1.0'?><methodCall><methodName>m</methodName></methodCall>",
        "<methodCall xmlns:ex='http://ws.apache.org/xmlrpc/namespaces/extensions'><methodName>m</methodName></methodCall>",
    ] {
        let call = decode_call(document.as_bytes());
        assert_eq!(
            call,
            Ok(Call {
                method: "m".into(),
                params: vec![]
            }),
            "{document}"
        );
    }
}

// ---------------------------------------------------------------------------- what is refused

#[test]
fn what_is_not_well_formed_is_fault_32700() {
    let good = "<methodCall><methodName>m</methodName></methodCall>";
    let mut documents: Vec<Vec<u8>> = [
        "",
        " ",
        "hello",
        "<",
        "<>",
        "<methodCall>",
        "<methodCall><methodName>m</methodName>",
        "<methodCall><methodName>m</methodCall></methodName>",
        "<methodCall><methodName>m</methodName></methodCall",
        "<a><b></a>",
        "<html><p>not found</html>",
        "<1a/>",
        "<a/b/>",
        "< methodCall></methodCall>",
        "<methodCall a></methodCall>",
        "<methodCall a=b></methodCall>",
        "<methodCall xmlns='<'></methodCall>",
        "<methodCall xmlns='a' xmlns='a'></methodCall>",
        "<methodCall xmlns:a='a'xmlns:b='b'><methodName>m</methodName></methodCall>",
        "<methodCall xmlns:a='&nope;'><methodName>m</methodName></methodCall>",
        "<methodCall a='1' b='<'></methodCall>",
        "< a='1'/>",
        "</methodCall>",
        "<!DOCTYPE methodCall><methodCall><methodName>m</methodName></methodCall>",
        "<!DOCTYPE x [<!ENTITY a \"aaaa\"><!ENTITY b \"&a;&a;\">]><methodCall><methodName>&b;</methodName></methodCall>",
        "<!doctype html><html></html>",
        "<?php x ?><methodCall><methodName>m</methodName></methodCall>",
        "<methodCall><?pi?><methodName>m</methodName></methodCall>",
        "<?xml version='1.0' encoding='latin-1'?><methodCall><methodName>m</methodName></methodCall>",
        "<?xml version='1.0' encoding='UTF-16'?><methodCall><methodName>m</methodName></methodCall>",
        "<?xml version='2.0'?><methodCall><methodName>m</methodName></methodCall>",
        "<?xml?><methodCall><methodName>m</methodName></methodCall>",
        "<?xml encoding='utf-8'?><methodCall><methodName>m</methodName></methodCall>",
        "<?xml version='1.0'encoding='utf-8'?><methodCall><methodName>m</methodName></methodCall>",
        "<?xml version='1.0' x='y'?><methodCall><methodName>m</methodName></methodCall>",
        " <?xml version='1.0'?><methodCall><methodName>m</methodName></methodCall>",
        "<?xml version='1.0'?><?xml version='1.0'?><methodCall><methodName>m</methodName></methodCall>",
        "<methodCall><methodName>&nope;</methodName></methodCall>",
        "<methodCall><methodName>& </methodName></methodCall>",
        "<methodCall><methodName>&#1;</methodName></methodCall>",
        "<methodCall><methodName>&#0;</methodName></methodCall>",
        "<methodCall><methodName>&#xD800;</methodName></methodCall>",
        "<methodCall><methodName>&#xFFFE;</methodName></methodCall>",
        "<methodCall><methodName>&#x110000;</methodName></methodCall>",
        "<methodCall><methodName>&#99999999999999999999;</methodName></methodCall>",
        "<methodCall><methodName>&#+65;</methodName></methodCall>",
        "<methodCall><methodName>&#;</methodName></methodCall>",
        "<methodCall><methodName>&#x;</methodName></methodCall>",
        "<methodCall><methodName>a]]>b</methodName></methodCall>",
        "<methodCall><methodName><![CDATA[m</methodName></methodCall>",
        "<methodCall><!-- a -- b --><methodName>m</methodName></methodCall>",
        "<methodCall><!-- <methodName>m</methodName></methodCall>",
        "<methodCall><methodName>\u{1}</methodName></methodCall>",
        "<methodCall><methodName>\0</methodName></methodCall>",
        "<methodCall><methodName>\u{b}</methodName></methodCall>",
        "<methodCall><methodName>\u{ffff}</methodName></methodCall>",
        "<methodCall><!-- \u{8} --><methodName>m</methodName></methodCall>",
    ]
    .iter()
    .map(|document| document.as_bytes().to_vec())
    .collect();
    for after in [
        good,
        "x",
        "<a/>",
        "&lt;",
        "<![CDATA[ ]]>",
        "</methodCall>",
        "<?xml version='1.0'?>",
    ] {
        documents.push([good, after].concat().into_bytes());
        documents.push([good, " ", after].concat().into_bytes());
    }
    for bad in [
        &b"\xff"[..],
        b"\xc3",
        b"\xc0\x80",
        b"\xed\xa0\x80",
        b"\xf5\x80\x80\x80",
    ] {
        documents.push(
            [
                b"<methodCall><methodName>",
                bad,
                b"</methodName></methodCall>",
            ]
            .concat(),
        );
    }
    for document in documents {
        let shown = String::from_utf8_lossy(&document).into_owned();
        let fault = decode_call(&document).expect_err(&shown);
        assert_eq!(fault.code, Fault::NOT_WELL_FORMED, "{shown}: {fault}");
        let fault = decode_response(&document).expect_err(&shown);
        assert_eq!(fault.code, Fault::NOT_WELL_FORMED, "{shown}: {fault}");
    }
}

#[test]
fn what_is_well_formed_and_not_xml_rpc_is_fault_32600() {
    let mut documents: Vec<String> = [
        "<html><body/></html>",
        "<methodCall/>",
        "<methodCall>text</methodCall>",
        "<methodCall><methodName/></methodCall>",
        "<methodCall><methodName>a b</methodName></methodCall>",
        "<methodCall><methodName>a<b/></methodName></methodCall>",
        "<methodCall><methodName>m</methodName><methodName>m</methodName></methodCall>",
        "<methodCall><params/><methodName>m</methodName></methodCall>",
        "<methodCall><methodName>m</methodName><params/><params/></methodCall>",
        "<methodCall><methodName>m</methodName><params/>x</methodCall>",
        "<methodCall a='b'><methodName>m</methodName></methodCall>",
        "<methodCall><methodName>m</methodName><params><param/></params></methodCall>",
        "<methodCall><methodName>m</methodName><params><value/></params></methodCall>",
        "<methodCall><methodName>m</methodName><params>x</params></methodCall>",
        "<methodCall><methodName>m</methodName><x/></methodCall>",
        "<METHODCALL><methodName>m</methodName></METHODCALL>",
        "<methodResponse><params><param><value/></param></params></methodResponse>",
    ]
    .map(str::to_owned)
    .into();
    documents.extend(
        [
            "<value/><value/>",
            "<value><int>1</int><int>1</int></value>",
            "<value>x<int>1</int></value>",
            "<value><int>1</int>x</value>",
            "<value><int></int></value>",
            "<value><int>x</int></value>",
            "<value><int>1.5</int></value>",
            "<value><int> 1 </int></value>",
            "<value><int>--1</int></value>",
            "<value><int>0x10</int></value>",
            "<value><int>1<int>1</int></int></value>",
            "<value><int>2147483648</int></value>",
            "<value><i4>-2147483649</i4></value>",
            "<value><int>99999999999999999999999999</int></value>",
            "<value><i8>9223372036854775808</i8></value>",
            "<value><i8>-9223372036854775809</i8></value>",
            "<value><boolean>2</boolean></value>",
            "<value><boolean>true</boolean></value>",
            "<value><boolean/></value>",
            "<value><double>nan</double></value>",
            "<value><double>NaN</double></value>",
            "<value><double>inf</double></value>",
            "<value><double>-Infinity</double></value>",
            "<value><double>1e999</double></value>",
            "<value><double>e</double></value>",
            "<value><double/></value>",
            "<value><nil>x</nil></value>",
            "<value><nil><nil/></nil></value>",
            "<value><base64>a</base64></value>",
            "<value><base64>aGk</base64></value>",
            "<value><base64>!!!!</base64></value>",
            "<value><dateTime.iso8601>yesterday</dateTime.iso8601></value>",
            "<value><dateTime.iso8601/></value>",
            "<value><array/></value>",
            "<value><array><value/></array></value>",
            "<value><array><data/><data/></array></value>",
            "<value><array><data>x</data></array></value>",
            "<value><array><data><int>1</int></data></array></value>",
            "<value><struct>x</struct></value>",
            "<value><struct><value/></struct></value>",
            "<value><struct><member/></struct></value>",
            "<value><struct><member><name>a</name></member></struct></value>",
            "<value><struct><member><value/></member></struct></value>",
            "<value><struct><member><value/><name>a</name></member></struct></value>",
            "<value><struct><member><name>a</name><value/><value/></member></struct></value>",
            "<value><struct><member><name>a</name><value/></member><member><name>a</name><value/></member></struct></value>",
            "<value><float>1</float></value>",
            "<value type='int'>1</value>",
        ]
        .map(with_value),
    );
    for document in documents {
        let fault = decode_call(document.as_bytes()).expect_err(&document);
        assert_eq!(fault.code, Fault::NOT_XML_RPC, "{document}: {fault}");
    }
}

#[test]
fn a_response_that_says_neither_or_both_is_fault_32600() {
    let fault = |members: &str| {
        format!(
            "<methodResponse><fault><value><struct>{members}</struct></value></fault></methodResponse>"
        )
    };
    let code = |code: &str| format!("<member><name>faultCode</name><value>{code}</value></member>");
    let text = "<member><name>faultString</name><value>no</value></member>";
    for document in [
        "<methodResponse/>".to_owned(),
        "<methodResponse><params/></methodResponse>".to_owned(),
        "<methodResponse><fault/></methodResponse>".to_owned(),
        "<methodResponse><fault><value>no</value></fault></methodResponse>".to_owned(),
        "<methodResponse><params><param><value/></param><param><value/></param></params></methodResponse>".to_owned(),
        "<methodResponse><params><param><value/></param></params><fault/></methodResponse>".to_owned(),
        "<methodCall><methodName>m</methodName></methodCall>".to_owned(),
        fault(""),
        fault(text),
        fault(&code("<int>1</int>")),
        fault(&(code("<string>1</string>") + text)),
        fault(&(code("<i8>4294967296</i8>") + text)),
    ] {
        let fault = decode_response(document.as_bytes()).expect_err(&document);
        assert_eq!(fault.code, Fault::NOT_XML_RPC, "{document}: {fault}");
    }
    let good = fault(&(code("<int>-32500</int>") + text));
    assert_eq!(
        decode_response(good.as_bytes()),
        Ok(Err(Fault::new(-32500, "no")))
    );
}

#[test]
fn the_sixteenth_level_of_values_is_read_and_the_seventeenth_is_not() {
    let arrays = |depth: usize| {
        let (open, close) = ("<value><array><data>", "</data></array></value>");
        [
            &open.repeat(depth - 1),
            "<value/>",
            &close.repeat(depth - 1),
        ]
        .concat()
    };
    let structs = |depth: usize| {
        let (open, close) = (
            "<value><struct><member><name>a</name>",
            "</member></struct></value>",
        );
        [
            &open.repeat(depth - 1),
            "<value><nil/></value>",
            &close.repeat(depth - 1),
        ]
        .concat()
    };
    for nested in [arrays, structs] {
        assert!(read_value(&nested(MAX_DEPTH)).is_ok());
        let fault = read_value(&nested(MAX_DEPTH + 1)).unwrap_err();
        assert_eq!(fault.code, Fault::NOT_XML_RPC);
    }
    for deep in [100_000, 30_000] {
        assert!(read_value(&arrays(deep)).is_err());
        assert!(decode_call("<a>".repeat(deep).as_bytes()).is_err());
    }
}

#[test]
fn the_ten_thousandth_value_is_read_and_the_next_is_not() {
    let values = |count: usize| {
        [
            "<value><array><data>",
            &"<value/>".repeat(count - 1),
            "</data></array></value>",
        ]
        .concat()
    };
    assert!(read_value(&values(MAX_VALUES)).is_ok());
    let fault = read_value(&values(MAX_VALUES + 1)).unwrap_err();
    assert_eq!(fault.code, Fault::NOT_XML_RPC);
    let params = "<param><value/></param>".repeat(MAX_VALUES + 1);
    let call =
        format!("<methodCall><methodName>m</methodName><params>{params}</params></methodCall>");
    assert_eq!(
        decode_call(call.as_bytes()).unwrap_err().code,
        Fault::NOT_XML_RPC
    );
}

#[test]
fn a_fault_about_a_document_does_not_quote_it_at_length() {
    let long = "x".repeat(100_000);
    let member = format!("<member><name>{long}</name><value/></member>");
    for document in [
        with_value(&format!("<value><struct>{member}{member}</struct></value>")),
        format!("<methodCall></{long}>"),
        format!("<{long}></{long}>"),
        format!("<methodCall><methodName>&{long};</methodName></methodCall>"),
        format!("<methodCall {long}='1'></methodCall>"),
    ] {
        let fault = decode_call(document.as_bytes()).unwrap_err();
        assert!(fault.message.len() < 200, "{} bytes", fault.message.len());
    }
}

#[test]
fn a_megabyte_that_is_made_to_be_slow_is_read_in_no_time() {
    let many = |piece: &dyn Fn(usize) -> String, count| (0..count).map(piece).collect::<String>();
    let member = |i| format!("<member><name>{i:080}</name><value/></member>");
    let documents = [
        with_value(&format!(
            "<value><struct>{}</struct></value>",
            many(&member, 9_000)
        )),
        format!(
            "<methodCall {}/>",
            many(&|i| format!("xmlns:a{i}='' "), 60_000)
        ),
        format!("<methodCall {}/>", many(&|i| format!("a{i}='' "), 80_000)),
        with_value(&format!("<value>{}</value>", "&amp;".repeat(200_000))),
        with_value(&format!("<value>{}</value>", "a<!---->".repeat(130_000))),
        with_value(&format!("<value>{}</value>", "<![CDATA[]]>".repeat(80_000))),
        with_value(&format!("<value>{}</value>", "]]&gt;".repeat(170_000))),
        format!("<!DOCTYPE a [{}]><a/>", "<!ENTITY a 'b'>".repeat(60_000)),
        "<".repeat(1_000_000),
        "<a>".repeat(340_000),
        "<!--".repeat(250_000),
        "&".repeat(1_000_000),
    ];
    for document in documents {
        let begun = std::time::Instant::now();
        let _ = decode_call(document.as_bytes());
        let took = begun.elapsed();
        // Some milliseconds each; squares of the length would be minutes.
        assert!(
            took < Duration::from_secs(2),
            "{took:?}: {}",
            &document[..80]
        );
    }
}

// ------------------------------------------------------------------------------------- Python

/// Answers `echo(x)` with `x`, `echo()` with nil, `fail` with a fault, and `big` with numbers that
/// only an i8 holds.
struct Echo;

impl Service for Echo {
    fn call(&self, body: &[u8], _: &mut Caller) -> Vec<u8> {
        encode_response(
            &decode_call(body).and_then(|mut call| match call.method.as_str() {
                "echo" => Ok(call.params.pop().unwrap_or(Value::Nil)),
                "big" => Ok(vec![i64::MAX.into(), i64::MIN.into(), (1_i64 << 31).into()].into()),
                "fail" => Err(Fault::new(
                    Fault::APPLICATION,
                    "no <leader> & \"none\" soon",
                )),
                other => Err(Fault::new(
                    Fault::NO_SUCH_METHOD,
                    format!("no method {other}"),
                )),
            }),
        )
    }
}

fn echo_server() -> Server {
    let listener = http::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    Server::start(
        listener,
        Limits::default(),
        Peers::default(),
        Arc::new(Echo),
    )
    .unwrap()
}

fn python(program: &str) -> Command {
    let mut command = Command::new("python3");
    command.arg("-c").arg(program);
    command
}

const NEEDS_PYTHON: &str = "this test needs python3 in the PATH, to be talked to";

#[test]
fn pythons_client_calls_our_server() {
    let server = echo_server();
    let program = r#"
import sys, datetime, xmlrpc.client as x
for path in ("/RPC2", "/", ""):
    p = x.ServerProxy(sys.argv[1] + path, allow_none=True)
    text = " a\r\nb\rc\n\t<&>]]>'\" \u00fc\U0001f4a5\u2028\u0085 "
    for value in (0, -7, 2**31-1, -2**31, True, False, None, "", " ", "plain", 1.5, -0.25, 1e300,
                  5e-324, [], [1, ["a", None]], {}, {"a": {"b": [1.0]}, " <&> ": ""}):
        got = p.echo(value)
        assert got == value and type(got) is type(value), (value, got)
    # Python writes a carriage return raw, so that its reader and any other read a newline.
    assert p.echo(text.replace("\r", "")) == text.replace("\r", "")
    assert p.echo(x.Binary(bytes(range(256)) * 3)).data == bytes(range(256)) * 3
    when = x.DateTime(datetime.datetime(1998, 7, 17, 14, 8, 55))
    assert p.echo(when) == when
    assert p.big() == [2**63-1, -2**63, 2**31]
    try:
        p.fail()
        raise SystemExit("no fault")
    except x.Fault as fault:
        assert (fault.faultCode, fault.faultString) == (-32500, 'no <leader> & "none" soon'), fault
    try:
        p.nope()
        raise SystemExit("no fault")
    except x.Fault as fault:
        assert fault.faultCode == -32601, fault
"#;
    let output = python(program)
        .arg(format!("http://{}", server.local_addr()))
        .output()
        .expect(NEEDS_PYTHON);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
}

#[test]
fn python_reads_every_document_that_we_write() {
    let program = r#"
import sys, xmlrpc.client as x
for line in sys.stdin:
    (value,), method = x.loads(bytes.fromhex(line), use_builtin_types=True)
    print(x.dumps((value,), methodresponse=True, allow_none=True).encode().hex(), flush=True)
"#;
    let mut child = Reaped(
        python(program)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect(NEEDS_PYTHON),
    );
    let mut to = child.0.stdin.take().unwrap();
    let mut from = BufReader::new(child.0.stdout.take().unwrap()).lines();
    // Python refuses to write what does not fit in 32 bits, and writes \r so that it is lost.
    let texts = [
        "",
        " ",
        "\n\t ",
        "a]]>b",
        "<&>'\"",
        "\u{85}\u{2028}\u{feff}",
        "ü💥",
        "  x  ",
        "\u{7f}",
    ];
    for text in texts {
        let value = Value::from(Struct::from([
            ("text", text.into()),
            (
                "nested",
                vec![Value::Nil, true.into(), 1.25.into(), (-5).into()].into(),
            ),
            ("bytes", Value::Base64(text.as_bytes().to_vec())),
        ]));
        let hex: String = encode_response(&Ok(value.clone()))
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        writeln!(to, "{hex}").unwrap();
        let back = from.next().expect("python answers each line").unwrap();
        let back: Vec<u8> = (0..back.len() / 2)
            .map(|i| u8::from_str_radix(&back[2 * i..2 * i + 2], 16).unwrap())
            .collect();
        assert_eq!(decode_response(&back), Ok(Ok(value)), "{text:?}");
    }
}

/// A child process that does not outlive its test.
struct Reaped(Child);

impl Drop for Reaped {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn our_client_calls_pythons_server() {
    let program = r#"
from xmlrpc.server import SimpleXMLRPCServer
import xmlrpc.client
s = SimpleXMLRPCServer(("127.0.0.1", 0), allow_none=True, logRequests=False)
def fail():
    raise xmlrpc.client.Fault(-32500, "no <leader>")
s.register_function(lambda *a: a[0] if a else None, "echo")
s.register_function(fail)
s.register_introspection_functions()
print(s.server_address[1], flush=True)
s.serve_forever()
"#;
    let mut child = Reaped(
        python(program)
            .stdout(Stdio::piped())
            .spawn()
            .expect(NEEDS_PYTHON),
    );
    let mut port = String::new();
    BufReader::new(child.0.stdout.take().unwrap())
        .read_line(&mut port)
        .unwrap();
    let client = Client::new(
        &format!("127.0.0.1:{}", port.trim()),
        Duration::from_secs(10),
    );

    for value in [
        Value::Nil,
        true.into(),
        (-7).into(),
        i64::from(i32::MIN).into(),
        1.5.into(),
        "".into(),
        " a\n<&>]]> ü💥 ".into(),
        Value::Base64((0..=255).collect()),
        Value::DateTime("19980717T14:08:55".to_owned()),
        vec![Value::from(1), vec![Value::Nil].into()].into(),
        Struct::from([("a", 1.into()), ("b", Struct::default().into())]).into(),
    ] {
        let back = client.call("echo", std::slice::from_ref(&value));
        assert_eq!(back.unwrap(), value);
    }
    assert_eq!(client.call("echo", &[]).unwrap(), Value::Nil);
    let methods = client.call("system.listMethods", &[]).unwrap();
    assert!(methods.as_array().unwrap().contains(&"echo".into()));
    match client.call("fail", &[]) {
        Err(CallError::Fault(fault)) => assert_eq!(fault, Fault::new(-32500, "no <leader>")),
        other => panic!("{other:?}"),
    }
    assert!(matches!(client.call("nope", &[]), Err(CallError::Fault(_))));
}

#[test]
fn our_client_calls_our_server_with_every_type_and_any_size() {
    let server = echo_server();
    let client = Client::new(&server.local_addr().to_string(), Duration::from_secs(10));
    for value in [
        Value::from("x".repeat(900_000)),
        Value::Base64(vec![7; 700_000]),
        "\r\n \r".into(),
        i64::MIN.into(),
        i64::MAX.into(),
        vec![Value::Nil; 9_999].into(),
    ] {
        assert_eq!(
            client.call("echo", std::slice::from_ref(&value)).unwrap(),
            value
        );
    }
    // One byte of a megabyte too many is refused by the server, and the client hears it.
    let long = Value::from("x".repeat(1024 * 1024));
    let error = client.call("echo", &[long]).unwrap_err();
    assert!(matches!(error, CallError::Status(413)), "{error}");
    assert_eq!(client.call("echo", &[1.into()]).unwrap(), 1.into());
}
