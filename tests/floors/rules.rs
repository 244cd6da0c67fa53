//! The two rules: no import of a higher floor, no circle of imports between files.

use std::collections::{BTreeMap, BTreeSet};

use crate::house::{House, Sources};

/// Folder → floor. The foundations (`error.rs`, `clock.rs`) are floor 0; `lib.rs` only names the floors.
const FLOORS: &[(&str, u8)] = &[
    ("tensor", 1),
    ("weights", 2),
    ("graph", 3),
    ("ops", 3),
    ("cpu", 4),
    ("gpu", 4),
    ("runtime", 5),
    ("deltas", 6),
    ("formats", 6),
    ("models", 6),
    ("compress", 7),
    ("vision", 8),
    ("audio", 8),
    ("text", 8),
    ("tasks", 8),
    ("cli", 9),
    ("js", 9),
    ("cli", 9),
    ("bin", 9),
];
const FOUNDATIONS: &[&str] = &["error.rs", "clock.rs"];

/// Everything that breaks a rule, one line each.
pub fn violations(sources: &Sources) -> Vec<String> {
    let house = House::new(sources);
    let mut found = Vec::new();
    let mut graph: BTreeMap<&str, BTreeMap<String, String>> = BTreeMap::new();
    for name in house.files().filter(|name| *name != "lib.rs") {
        let Some(floor) = floor(name) else {
            found.push(format!("src/{name}: its folder has no floor; give it one in tests/floors/rules.rs"));
            continue;
        };
        for edge in house.edges(name) {
            // `floor` of a file without one is reported where that file is visited.
            if self::floor(&edge.to).is_some_and(|to| to > floor) {
                found.push(format!(
                    "src/{name} (floor {floor}) imports src/{} of a higher floor: `{}`",
                    edge.to, edge.path
                ));
            }
            if !edge.bare {
                graph.entry(name).or_default().entry(edge.to).or_insert(edge.path);
            }
        }
    }
    found.sort();
    found.dedup();
    found.extend(circles(&graph));
    found
}

fn floor(file: &str) -> Option<u8> {
    match file.split_once('/') {
        Some((folder, _)) => FLOORS.iter().find(|(name, _)| *name == folder).map(|(_, floor)| *floor),
        None => (FOUNDATIONS.contains(&file) || file == "lib.rs").then_some(0),
    }
}

/// One shortest circle for each file that is on any and not yet on a reported one.
fn circles(graph: &BTreeMap<&str, BTreeMap<String, String>>) -> Vec<String> {
    let mut reported: BTreeSet<&str> = BTreeSet::new();
    let mut found = Vec::new();
    for &start in graph.keys() {
        if reported.contains(start) {
            continue;
        }
        let Some(circle) = shortest_circle(graph, start) else { continue };
        let mut line = String::from("circle:");
        for (i, file) in circle.iter().enumerate() {
            let next = circle[(i + 1) % circle.len()];
            line += &format!(" src/{file} -[{}]->", graph[file][next]);
        }
        found.push(format!("{line} src/{start}"));
        reported.extend(circle);
    }
    found
}

/// Breadth first from `start` back to itself.
fn shortest_circle<'a>(graph: &'a BTreeMap<&str, BTreeMap<String, String>>, start: &'a str) -> Option<Vec<&'a str>> {
    let mut came_from: BTreeMap<&str, &str> = BTreeMap::new();
    let mut queue = std::collections::VecDeque::from([start]);
    while let Some(file) = queue.pop_front() {
        for next in graph.get(file).into_iter().flat_map(|edges| edges.keys()) {
            if next == start {
                let mut circle = vec![file];
                while let Some(&before) = came_from.get(circle[circle.len() - 1]) {
                    circle.push(before);
                }
                circle.reverse();
                return Some(circle);
            }
            if !came_from.contains_key(next.as_str()) {
                came_from.insert(next, file);
                queue.push_back(next);
            }
        }
    }
    None
}
