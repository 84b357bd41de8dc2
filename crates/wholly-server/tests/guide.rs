//! What the guide to choosing shows is what its commands print, and the Japanese pages show the same.
#![cfg(feature = "demo")]
#![allow(clippy::unwrap_used, reason = "a test may")]

use std::path::Path;
use std::process::Command;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

/// A line of a page that stands for any number of lines of the output.
const ELISION: &str = "…";

/// A fenced block of a page: its language, and its lines.
#[derive(Debug, PartialEq, Eq)]
struct Block {
    language: String,
    lines: Vec<String>,
}

#[test]
fn the_guide_shows_what_its_commands_print() {
    let mut printed = Vec::new();
    for block in blocks("docs/choosing.md") {
        match &*block.language {
            "console" => printed = show(&block.lines),
            "mermaid" => {
                let drawn = "the picture is one of those that the command before it draws";
                assert!(contains(&printed, &block.lines), "{drawn}: {:#?}", block.lines);
            }
            other => panic!("no test knows what a block of {other} is"),
        }
    }
}

#[test]
fn the_japanese_pages_show_the_same() {
    assert_eq!(blocks("docs/choosing.md"), blocks("docs/ja/choosing.md"));
    let code = |page| {
        let blocks = blocks(page).into_iter().filter(|block| block.language != "text");
        blocks.map(without_comments).collect::<Vec<_>>()
    };
    assert_eq!(code("README.md"), code("README.ja.md"));
}

#[test]
fn the_example_is_the_shops() {
    let shop = "crates/wholly-demo/src/shop/create-order.toml";
    assert_eq!(read("examples/shop/create-order.toml"), read(shop));
}

/// Runs each command of a block, and compares what it prints; returns what the last one printed.
fn show(lines: &[String]) -> Vec<String> {
    let mut printed = Vec::new();
    let mut shown = lines.iter().map(String::as_str).peekable();
    assert!(shown.peek().is_some_and(|line| line.starts_with("$ ")), "{lines:#?}");
    while let Some(command) = shown.next() {
        let command = command.strip_prefix("$ ").unwrap();
        let mut expected = Vec::new();
        while let Some(line) = shown.next_if(|line| !line.starts_with("$ ")) {
            expected.push(line);
        }
        printed = run(command);
        compare(command, &expected, &printed);
    }
    printed
}

fn run(command: &str) -> Vec<String> {
    let arguments = command.strip_prefix("wholly ").unwrap().split(' ');
    let state = tempfile::tempdir().unwrap();
    let mut wholly = Command::new(env!("CARGO_BIN_EXE_wholly"));
    wholly.args(arguments).current_dir(ROOT).env("XDG_STATE_HOME", state.path());
    if is_comparison(command) {
        // The page shows the long one.
        wholly.arg("--quick");
    }
    let output = wholly.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command}: {}: {said}", output.status);
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

/// Asserts that a page shows what was printed, but for figures, and where it leaves lines out.
fn compare(command: &str, expected: &[&str], printed: &[String]) {
    let words = if is_comparison(command) { row_name } else { without_figures };
    let mut rest = printed.iter().map(|line| words(line));
    let mut may_skip = false;
    for line in expected {
        if *line == ELISION {
            may_skip = true;
            continue;
        }
        let wanted = words(line);
        let found = match may_skip {
            true => rest.any(|line| line == wanted),
            false => rest.next().is_some_and(|line| line == wanted),
        };
        assert!(found, "{command} does not print {line:?} there:\n{}", printed.join("\n"));
        may_skip = false;
    }
    let left: Vec<_> = rest.filter(|line| !line.is_empty()).collect();
    assert!(may_skip || left.is_empty(), "{command} prints more than is shown: {left:#?}");
}

fn is_comparison(command: &str) -> bool {
    command.starts_with("wholly compare")
}

/// The name of a line of the comparison: all else depends on the machine.
fn row_name(line: &str) -> String {
    line.split("  ").find(|part| !part.is_empty()).unwrap_or_default().trim().to_owned()
}

/// The words of a line: figures differ from run to run, and columns with them.
fn without_figures(line: &str) -> String {
    let words = line.split_whitespace().map(|word| {
        let is_figure = word.starts_with(|c: char| c.is_ascii_digit()) || word == "-";
        if is_figure { "#" } else { word }
    });
    // Units go with their figures.
    words.filter(|word| !["ms", "s"].contains(word)).collect::<Vec<_>>().join(" ")
}

fn contains(lines: &[String], part: &[String]) -> bool {
    lines.windows(part.len().max(1)).any(|window| window == part)
}

fn read(page: &str) -> String {
    std::fs::read_to_string(Path::new(ROOT).join(page)).unwrap()
}

fn blocks(page: &str) -> Vec<Block> {
    let page = read(page);
    let (mut blocks, mut open) = (Vec::new(), None::<Block>);
    for line in page.lines() {
        match (line.strip_prefix("```"), &mut open) {
            (Some(""), Some(_)) => blocks.extend(open.take()),
            (Some(language), None) => {
                open = Some(Block { language: language.to_owned(), lines: Vec::new() });
            }
            (None, Some(block)) => block.lines.push(line.to_owned()),
            (Some(_), Some(_)) => panic!("a block in a block: {line}"),
            (None, None) => {}
        }
    }
    assert!(open.is_none() && !blocks.is_empty());
    blocks
}

/// The block as a compiler sees it: the comments of the two languages differ.
fn without_comments(block: Block) -> Block {
    let mark = if block.language == "rust" { "//" } else { "#" };
    let code = |line: String| {
        let comment = line.find(&format!(" {mark}")).unwrap_or(line.len());
        line[..comment].trim_end().to_owned()
    };
    Block { lines: block.lines.into_iter().map(code).collect(), ..block }
}
