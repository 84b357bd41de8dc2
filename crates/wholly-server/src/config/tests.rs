use std::collections::BTreeSet;

use super::*;
use crate::access::{Rate, Role};

const EXAMPLE: &str = include_str!("../../wholly.example.toml");

fn parse(text: &str) -> Result<Config, Wrong> {
    Config::parse(text, Path::new("/etc"), &Overrides::default())
}

fn wrong(text: &str) -> (String, String) {
    match parse(text) {
        Ok(_) => panic!("taken: {text}"),
        Err(Wrong { at, why }) => (LineColumn::of(text, at).to_string(), why),
    }
}

#[test]
fn the_example_is_taken_and_says_the_defaults() {
    let config = parse(EXAMPLE).unwrap();
    let defaults = parse("").unwrap();
    assert_eq!(config.listen, defaults.listen);
    assert_eq!(config.logs, defaults.logs);
    assert!(config.alerts.is_none() && defaults.alerts.is_none());
    assert_eq!((config.log.file(), &config.audit), (defaults.log.file(), &defaults.audit));
    assert_eq!(config.audit, Path::new("/etc/audit.jsonl"));
    assert_eq!(config.limits, defaults.limits);
    assert_eq!(config.shutdown, defaults.shutdown);
    assert!(config.access.is_open() && config.tls.is_none());
    assert_eq!(format!("{:?}", config.settings), format!("{:?}", defaults.settings));
    let names: Vec<_> = config.participants.keys().map(ParticipantName::as_str).collect();
    assert_eq!(names, ["inventory", "orders", "payments"]);
    let slots = config.participants["payments"].slots;
    assert_eq!((slots.total(), slots.reserved_for_second_phase()), (64, 16));
    assert_eq!(slots.in_flight_limit(), Some(10_000));
    assert_eq!(config.participants["orders"].slots.in_flight_limit(), None);
    assert_eq!(slots.calls_per_second(), Some(500));
    assert_eq!(config.participants["orders"].slots.calls_per_second(), None);
}

#[test]
fn every_setting_is_set() {
    let config = parse(
        "[settings]\ndeadline = '1s'\ncall_timeout = '2ms'\nbackoff_first = '3ms'\n\
         backoff_cap = '4m'\nstuck_after_tries = 5\nin_flight_limit = 6\nin_flight_limit_bytes = 7340032\n\
         in_flight_limit_per_participant = 5\npatience = '7h'\n",
    );
    let Settings {
        deadline,
        call_timeout,
        backoff,
        stuck_after_tries,
        in_flight_limit,
        in_flight_limit_bytes,
        in_flight_limit_per_participant,
        patience,
        ..
    } = config.unwrap().settings;
    assert_eq!(deadline, Duration::from_secs(1));
    assert_eq!(call_timeout, Duration::from_millis(2));
    assert_eq!(backoff.first, Duration::from_millis(3));
    assert_eq!(backoff.cap, Duration::from_secs(240));
    assert_eq!((stuck_after_tries, in_flight_limit), (5, 6));
    assert_eq!(in_flight_limit_bytes, Some(7 << 20));
    assert_eq!(in_flight_limit_per_participant, Some(5));
    assert_eq!(patience, Duration::from_secs(7 * 3_600));
}

#[test]
fn what_is_wrong_is_named_with_its_place() {
    let cases = [
        ("listen = 7", "1:10", "expected a string"),
        ("\nlisten = '0.0.0.0:7400'", "2:10", "add a token"),
        ("listen = '[::]:7400'", "1:10", "reached from other machines"),
        ("listen = 'localhost'", "1:10", "write it like 127.0.0.1:7400"),
        ("lsten = '127.0.0.1:1'", "1:1", "no key `lsten` here; did you mean `listen`?"),
        ("[settings]\ndeadlin = '1s'", "2:1", "did you mean `deadline`?"),
        ("[settings]\ndeadline = '10'", "2:12", "no duration"),
        ("[settings]\ndeadline = '0s'", "2:12", "out of range"),
        ("[settings]\ndeadline = '721h'", "2:12", "out of range"),
        ("[settings]\ncall_timeout = '99999999999999999999s'", "2:16", "no duration"),
        ("[settings]\ncall_timeout = '9999999999999999999h'", "2:16", "out of range"),
        ("[settings]\nbackoff_cap = '1ms'", "2:15", "shorter than 50ms"),
        ("[settings]\nin_flight_limit = 0", "2:19", "at least 1"),
        ("[settings]\nin_flight_limit_bytes = 1000000", "2:25", "at least 1048576 bytes"),
        ("[settings]\nin_flight_limit_per_participant = 0", "2:35", "at least 1"),
        (
            "[settings]\nin_flight_limit_per_participant = 9\nin_flight_limit = 8",
            "2:35",
            "in_flight_limit, for all, is 8",
        ),
        (
            "[settings]\nin_flight_limit = 8\n[participants.a]\nurl = 'http://a'\nin_flight_limit = 9",
            "5:19",
            "in_flight_limit, for all, is 8",
        ),
        ("[participants.a]\nurl = 'http://a'\nin_flight_limit = 0", "3:19", "at least 1"),
        ("[participants.a]\nurl = 'http://a'\ncalls_per_second = 0", "3:20", "at least 1"),
        ("[settings]\nstuck_after_tries = -1", "2:21", "at least 1"),
        ("[participants.a]\none_phase = true", "1:1", "missing field `url`"),
        ("[participants.a]\nurl = 'ftp://a'", "2:7", "http:// or https://"),
        (
            "[participants.a]\nurl = 'http://a'\nuri = 1",
            "3:1",
            "no key `uri` here; did you mean `url`?",
        ),
        ("[participants.a]\nurl = 'http://a'\nrefused_statuses = [503]", "3:20", "400 to 499"),
        ("[participants.a]\nurl = 'http://a'\ncall_timeout = '6s'", "3:16", "[settings]"),
        (
            "[participants.a]\nurl = 'http://a'\nslots = { total = 1, reserved_for_second_phase = 1 }",
            "3:9",
            "each phase needs at least one",
        ),
        ("[participants.A]\nurl = 'http://a'", "1:15", "must not contain 'A'"),
        ("[logs]\nformat = 'xml'", "2:10", "expected `text` or `json`"),
        ("[logs]\nlevel = 'loud'", "2:9", "expected one of `error`, `warn`"),
        ("[alerts]\nurl = 'http://a'", "1:1", "missing field `secret`"),
        ("[alerts]\nurl = 'http://a'\nsecret = 'whsec_AA=='", "3:10", "env:NAME"),
        ("listen = ", "1:10", "string"),
        ("xyzzy = 1", "1:1", "no key `xyzzy` here; there are `listen`, `log`"),
        (
            "[participants.a]\nurl = 'http://a'\n[participants.a]\nurl = 'http://b'",
            "3:15",
            "`a` is there twice",
        ),
        ("log = 'a'\nlog = 'b'", "2:1", "`log` is there twice"),
        ("log = 7", "1:7", "invalid type: integer, expected a table"),
        ("[log]\nkind = 'postgres'", "2:8", "no such kind; there are `sqlite`"),
        ("[log]\nkind = 7", "2:8", "no such kind; there are `sqlite`"),
        ("[log]\nfile = 7", "2:8", "invalid type: integer"),
        ("[log]\nurl = 'http://a'", "2:1", "no key `url` here; there are `kind`, `file`"),
        ("participants = 7", "1:16", "invalid type: integer, expected a table"),
        ("[participants]\na = 'http://a'", "2:5", "invalid type: string, expected a table"),
        (
            "[participants.a]\nkind = 'queue'\nurl = 'http://a'",
            "2:8",
            "no such kind; there are `http`",
        ),
        ("[participants.a]\nurl = 'http://a'\nfile = 'a'", "3:1", "no key `file` here"),
        ("[participants.a]\nurl = 'http://a'\nslot = {}", "3:1", "did you mean `slots`?"),
        (
            "[[tokens]]\nname = 'a'\nsha256 = 'wholly_secret'\nroles = ['read']",
            "3:10",
            "never the token",
        ),
        ("[[tokens]]\nname = 'a'\nsha256 = '00'\nroles = ['read']", "3:10", "64 hexadecimal"),
        ("[[clients]]\nname = 'a'\nroles = ['read']", "1:1", "client_authority"),
        ("[limits]\nburst = 3", "2:9", "requests_per_second"),
        ("[limits]\nin_flight_bytes = 1000", "2:19", "one body alone"),
        ("[limits]\nconnections = 0", "2:15", "at least 1"),
        ("[metrics]\nenabled = 'no'", "2:11", "expected a boolean"),
        ("[tls]\ncertificate = '/no/such.pem'\nkey = '/no/such.key'", "2:15", "cannot be read"),
        (
            "[tls]\ncertificate = 'a.pem'\nkey = 'a.key'\nclient_revocations = 'b.pem'",
            "4:22",
            "client_authority",
        ),
    ];
    for (text, place, says) in cases {
        let (at, why) = wrong(text);
        assert!(why.contains(says) && !why.contains('\n'), "{text}: {why}");
        assert_eq!(at, place, "{text}: {why}");
    }
}

const HASHES: [&str; 2] = [
    "5e884898da28047151d0e56f8dc6292773603d0d6aabbdd62a11ef721d1542d8",
    "6B86B273FF34FCE19D6B804EFF5A3F5747ADA4EAA22F1D49C01E52DDB7875B4B",
];

fn token(name: &str, hash: &str, roles: &str) -> String {
    format!("[[tokens]]\nname = '{name}'\nsha256 = '{hash}'\nroles = {roles}\n")
}

#[test]
fn tokens_let_in_who_they_name() {
    let text = format!(
        "listen = '0.0.0.0:1'\n{}{}",
        token("shop", HASHES[0], "['submit', 'read']"),
        token("ada", HASHES[1], "['operate']"),
    );
    let access = parse(&text).unwrap().access;
    let shop = access.by_token(b"password").unwrap();
    assert_eq!((&*shop.name, &shop.roles[..]), ("shop", &[Role::Submit, Role::Read][..]));
    assert_eq!(&*access.by_token(b"1").unwrap().name, "ada");
}

#[test]
fn a_token_is_there_once_and_has_a_role() {
    let first = token("shop", HASHES[0], "['read']");
    let cases = [
        (token("shop", HASHES[1], "['read']"), "two tokens are named"),
        (token("ada", HASHES[0], "['read']"), "there twice"),
        (token("ada", HASHES[1], "[]"), "no role"),
        (token("ada", HASHES[1], "['reed']"), "`operate`"),
        (token("", HASHES[1], "['read']"), "must not be empty"),
    ];
    for (second, says) in cases {
        let (at, why) = wrong(&format!("{first}{second}"));
        assert!(why.contains(says), "{why}");
        assert!(at.as_str() >= "5:1", "{at}: {why}");
    }
}

#[test]
fn limits_are_set() {
    let limits = parse(
        "[limits]\nrequests_per_second = 5\nconnections = 6\nin_flight_bytes = 7000000\n\
         handshake_timeout = '8s'\nhead_timeout = '9s'\nbody_timeout = '10s'",
    );
    let limits = limits.unwrap().limits;
    assert_eq!(limits.rate, Some(Rate { per_second: 5, burst: 5 }));
    assert_eq!((limits.connections, limits.in_flight_bytes), (6, 7_000_000));
    assert_eq!(limits.handshake_timeout, Duration::from_secs(8));
    assert_eq!(limits.head_timeout, Duration::from_secs(9));
    assert_eq!(limits.body_timeout, Duration::from_secs(10));
    let burst = parse("[limits]\nrequests_per_second = 5\nburst = 9").unwrap().limits.rate;
    assert_eq!(burst, Some(Rate { per_second: 5, burst: 9 }));
}

#[test]
fn flags_and_variables_count_before_the_file() {
    let overrides = Overrides {
        listen: Some("[::1]:1".parse().unwrap()),
        log: Some("/var/w.db".into()),
        ..Overrides::default()
    };
    let said = |text| Config::parse(text, Path::new("/etc"), &overrides).unwrap();
    let config = said("listen = '127.0.0.1:2'\nlog = 'b.db'");
    assert_eq!(config.listen.address().to_string(), "[::1]:1");
    assert_eq!(config.log.file(), Some(Path::new("/var/w.db")));
    assert_eq!(config.audit, Path::new("/var/audit.jsonl"));
    assert_eq!(said("audit = 'c'").audit, Path::new("/etc/c"));
}

/// The example with its optional keys, which are commented out with `#` and no space.
fn whole_example() -> toml::Table {
    let line = |line: &str| match line.strip_prefix('#') {
        Some(rest) if !rest.is_empty() && !rest.starts_with(' ') => format!("{rest}\n"),
        _ => format!("{line}\n"),
    };
    let text: String = EXAMPLE.lines().map(line).collect();
    // Secrets are read with the file; this variable is set wherever a test runs.
    let mut parts = text.split("\"env:");
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        text.push_str("\"env:PATH");
        text.push_str(part.trim_start_matches(|c: char| c.is_ascii_uppercase() || c == '_'));
    }
    toml::from_str::<File>(&text).unwrap_or_else(|why| panic!("{why}"));
    toml::from_str(&text).unwrap()
}

/// The keys that the code knows in a section of the example, as its error about an unknown key
/// lists them; none if any key is a name.
fn known_keys(mut example: toml::Value, path: &[String]) -> Option<BTreeSet<String>> {
    at(&mut example, path).insert("no-such-key".to_owned(), true.into());
    if let [first, name, ..] = path
        && first == "participants"
    {
        at(&mut example, &path[..1]).retain(|other, _| other == name);
    }
    let text = toml::to_string(&example).unwrap();
    let context =
        Context { directory: Path::new("/etc"), settings: &Settings::default(), create_log: true };
    let mut said = DeTable::parse(&text).unwrap();
    let mut section = |name: &str| said.get_mut().remove(name);
    let why = match path.first().map(String::as_str) {
        Some("log") => log::configured(section("log"), &context).err()?.why,
        Some("participants") => {
            participants::configured(section("participants"), &context).err()?.why
        }
        _ => explain::explained(toml::from_str::<File>(&text).err()?.message(), ""),
    };
    let (_, known) = why.split_once("here; there are ")?;
    Some(known.split('`').skip(1).step_by(2).map(str::to_owned).collect())
}

#[test]
fn the_example_has_every_key_that_the_code_knows() {
    let example = toml::Value::Table(whole_example());
    let mut sections = vec![Vec::new()];
    let mut checked = 0;
    while let Some(path) = sections.pop() {
        let section = at(&mut example.clone(), &path).clone();
        let names: BTreeSet<String> = section.keys().cloned().collect();
        if let Some(known) = known_keys(example.clone(), &path) {
            let missing: Vec<_> = known.difference(&names).collect();
            let optional = path.first().is_some_and(|first| first == "participants");
            if !optional || path.last().is_some_and(|last| last == "payments") {
                assert!(missing.is_empty(), "the example misses {missing:?} in {path:?}");
            }
            checked += 1;
        }
        for (key, value) in section {
            let table = value.as_array().and_then(|all| all.first()).unwrap_or(&value).is_table();
            if table {
                sections.push([&path[..], &[key]].concat());
            }
        }
    }
    // Among them: the whole, the log, tokens, clients, tls, limits, settings, a participant and its
    // slots.
    assert!(checked >= 10, "{checked}");
}

/// The reference of the keys is the example, so a kind that is listed has a section there.
#[test]
fn the_example_has_every_kind() {
    let example = whole_example();
    let kinds = |sections: &mut dyn Iterator<Item = &toml::Value>| -> BTreeSet<String> {
        let named = sections.filter_map(|section| section.get("kind")?.as_str().map(str::to_owned));
        named.collect()
    };
    let logs = kinds(&mut example.get("log").into_iter());
    assert_eq!(logs, log::KINDS.words().map(str::to_owned).collect(), "[log]");
    let of = example["participants"].as_table().unwrap();
    let participants = kinds(&mut of.values());
    assert_eq!(participants, participants::KINDS.words().map(str::to_owned).collect());
}

/// The lists of files to touch for a new kind name files that are there.
#[test]
fn what_the_guide_for_contributors_names_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let guide = include_str!("../../../../CONTRIBUTING.md");
    let named: Vec<_> =
        guide.split('`').skip(1).step_by(2).filter(|word| word.starts_with("crates/")).collect();
    assert!(named.len() >= 10, "{named:?}");
    for file in named {
        assert!(root.join(file).is_file(), "{file}");
    }
}

#[test]
fn a_log_is_a_file_or_a_section() {
    let of = |text| parse(text).unwrap().log;
    for (text, file) in [
        ("", "/etc/wholly.db"),
        ("log = 'a.db'", "/etc/a.db"),
        ("log = { file = '/var/a.db' }", "/var/a.db"),
        ("[log]\nkind = 'sqlite'", "/etc/wholly.db"),
    ] {
        let log = of(text);
        assert_eq!((log.kind(), log.file()), ("sqlite", Some(Path::new(file))), "{text}");
    }
    assert_eq!(
        parse("log = 'a.db'").unwrap().written,
        parse("[log]\nfile = 'a.db'").unwrap().written
    );
}

/// A variable means what the file would: the example, given by variables alone, is the example.
#[test]
fn every_key_of_the_example_has_its_variable() {
    let example = whole_example();
    let mut names = String::new();
    let mut all = Vec::new();
    let bare = |value: &toml::Value| match value.as_str() {
        Some(text) => text.to_owned(),
        None => value.to_string(),
    };
    for (key, value) in &example {
        match value.as_table() {
            Some(named) if ["participants", "feeds"].contains(&key.as_str()) => {
                for (name, section) in named {
                    names.push_str(&format!("[{key}.{name}]\n"));
                    for (own, value) in section.as_table().unwrap() {
                        all.push((format!("{key}_{name}_{own}"), bare(value)));
                    }
                }
            }
            Some(section) => {
                all.extend(
                    section.iter().map(|(own, value)| (format!("{key}_{own}"), bare(value))),
                );
            }
            None => all.push((key.clone(), bare(value))),
        }
    }
    let all = all.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let variables = variables(&all.collect::<Vec<_>>()).unwrap();
    let mut said = DeTable::parse(&names).unwrap();
    variables.replace(&names, &mut said).unwrap();
    assert_eq!(toml::Table::deserialize(Deserializer::from(said)).unwrap(), example);
}

/// Makes variables from names in lower case and without their prefix.
fn variables(all: &[(&str, &str)]) -> Result<Variables, ConfigError> {
    let all = all.iter().map(|(name, value)| {
        (format!("WHOLLY_{}", name.to_ascii_uppercase()).into(), (*value).into())
    });
    Variables::of(all)
}

/// The configuration of a file and variables, or the one of them that is wrong.
fn said(text: &str, all: &[(&str, &str)]) -> Result<Config, (Option<String>, String)> {
    let overrides = Overrides { variables: variables(all).unwrap(), ..Overrides::default() };
    Config::parse(text, Path::new("/etc"), &overrides).map_err(|Wrong { at, why }| {
        (overrides.variables.at(text, at).map(str::to_ascii_lowercase), why)
    })
}

#[test]
fn variables_count_before_the_file_and_take_its_words() {
    let text = "listen = '127.0.0.1:1'\n[settings]\ndeadline = '1s'\npatience = '2s'\n\
        [participants.order-service]\nurl = 'http://a'\n";
    let config = said(
        text,
        &[
            ("listen", "127.0.0.1:2"),
            ("settings_deadline", "3s"),
            ("settings_in_flight_limit", "4"),
            ("metrics_enabled", "false"),
            ("participants_order_service_url", "http://b"),
            ("participants_order_service_slots", "{ total = 6, reserved_for_second_phase = 2 }"),
            ("participants_order_service_refused_statuses", "[402, 404]"),
            // Empty is not set.
            ("settings_patience", ""),
        ],
    );
    let Config { listen, settings, participants, .. } =
        config.unwrap_or_else(|why| panic!("{why:?}"));
    assert_eq!(listen.address().to_string(), "127.0.0.1:2");
    assert_eq!((settings.deadline, settings.patience), (secs(3), secs(2)));
    assert_eq!((settings.in_flight_limit, settings.measured), (4, false));
    let order = &participants["order-service"];
    assert_eq!((order.endpoint.address().as_deref(), order.slots.total()), (Some("http://b"), 6));
}

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

#[test]
fn a_wrong_variable_is_named_and_says_what_the_file_would() {
    let orders = "[participants.orders]\nurl = 'http://a'\n";
    let twins = "[participants.a-b]\nurl = 'http://a'\n[participants.a_b]\nurl = 'http://a'\n";
    for (text, name, value, says) in [
        ("", "listen", "localhost", "write it like 127.0.0.1:7400"),
        ("", "listen", "0.0.0.0:7400", "add a token"),
        ("", "settings_deadline", "soon", "no duration"),
        ("[settings]\ndeadline = '1s'", "settings_deadline", "0s", "out of range"),
        ("", "settings_in_flight_limit", "0", "at least 1"),
        ("", "settings_in_flight_limit", "many", "expected i64"),
        ("", "limits_burst", "3", "requests_per_second"),
        ("", "tls_key", "server.key", "missing field `certificate`"),
        ("", "tokens", "[{ name = 'a', sha256 = '00', roles = ['read'] }]", "64 hexadecimal"),
        ("", "alerts_secret", "whsec_AA==", "env:NAME"),
        (orders, "participants_orders_slots", "{ totl = 1 }", "did you mean `total`?"),
        // Not the name of a key.
        ("", "listn", "127.0.0.1:1", "did you mean WHOLLY_LISTEN?"),
        ("", "settings_deadlin", "1s", "did you mean WHOLLY_SETTINGS_DEADLINE?"),
        ("", "settings_xyzzy", "1s", "did you mean WHOLLY_SETTINGS_"),
        ("", "settings", "{}", "no such variable"),
        ("", "in_flight_limit", "1", "did you mean WHOLLY_SETTINGS_IN_FLIGHT_LIMIT?"),
        ("", "log_level", "info", "did you mean WHOLLY_LOGS_LEVEL?"),
        (
            orders,
            "participants_ordres_url",
            "http://b",
            "did you mean WHOLLY_PARTICIPANTS_ORDERS_URL?",
        ),
        ("", "participants_orders_url", "http://b", "a participant that the file names"),
        (twins, "participants_a_b_url", "http://b", "two sections have this variable"),
    ] {
        match said(text, &[(name, value)]) {
            Ok(_) => panic!("taken: {name}={value}"),
            Err((wrong, why)) => {
                assert_eq!(wrong.as_deref(), Some(name), "{name}={value}: {why}");
                assert!(why.contains(says) && !why.contains('\n'), "{name}={value}: {why}");
            }
        }
    }
}

#[test]
fn variables_of_others_are_let_be() {
    let others = [
        "token",
        "server",
        "log",
        "config",
        "sagas",
        "seed",
        "seeds",
        "keys",
        "port",
        "service_host",
        "port_7400_tcp_addr",
        "alerts_service_host",
        "alerts_port_80_tcp",
        "fuzz_inputs",
        "colour",
    ];
    let all: Vec<_> = others.iter().map(|name| (*name, "x")).collect();
    let config = said("", &all);
    assert!(config.is_ok(), "{:?}", config.err());
    // Nor is a secret that the file names a key, whatever it is called. It is not set here.
    let text = "[alerts]\nurl = 'http://a'\nsecret = 'env:WHOLLY_ALERTS_SECRET'\n";
    let (wrong, why) = said(text, &[("alerts_secret", "whsec_AA==")]).err().unwrap();
    assert!(wrong.is_none() && why.contains("is not set"), "{wrong:?} {why}");
}

fn at<'a>(value: &'a mut toml::Value, path: &[String]) -> &'a mut toml::Table {
    let inner = path.iter().fold(value, |value, key| {
        let inner = &mut value[key.as_str()];
        if inner.is_array() { &mut inner[0] } else { inner }
    });
    inner.as_table_mut().unwrap()
}
