//! `pluginsDir`: the resources of a directory's files, as they were last good.
//!
//! Whoever watches the directory reads all of its files and calls [`Directory::update`] with what
//! it found; what has to happen then is decided here:
//!
//! - A file that is gone takes its resources with it.
//! - A file that can be read and holds no mistake replaces what it held before.
//! - A file with a mistake replaces those resources that are good in it and removes none: which
//!   one the mistake was meant to be cannot always be told. A file that cannot be read is such.
//!
//! So nothing that gets worse replaces something good. [`Plan::plugins_with`] makes plugins of all
//! that the directory holds.
//!
//! Pitfall: a file that never was good adds nothing, as an API server would have refused it. A
//! caller who starts with such a file has to decide whether to start at all; `update` returns the
//! problems.
//!
//! [`Plan::plugins_with`]: super::Plan::plugins_with

use super::manifest::ResourceReader;
use super::problem::{Problem, Problems};
use super::resource::Resource;
use std::collections::BTreeMap;
use std::io;

/// What a directory of resources holds.
#[derive(Clone, Debug, Default)]
pub struct Directory {
    files: BTreeMap<String, Entry>,
}

#[derive(Clone, Debug, Default)]
struct Entry {
    /// What was read last; none if it could not be.
    text: Option<String>,
    resources: Vec<Resource>,
    problems: Problems,
}

impl Directory {
    /// Takes over what the directory's files hold now: all of them, by path, each with its text or
    /// why it cannot be read. Resources without a namespace belong to `namespace`.
    ///
    /// Returns whether anything is different now, be it a resource or a problem.
    pub fn update(
        &mut self,
        found: impl IntoIterator<Item = (String, io::Result<String>)>,
        namespace: &str,
    ) -> bool {
        let mut before = std::mem::take(&mut self.files);
        let mut changed = false;
        for (path, text) in found {
            let old = before.remove(&path);
            let is_new = old.is_none();
            let mut entry = old.unwrap_or_default();
            changed |= entry.update(&path, text, namespace) || is_new;
            self.files.insert(path, entry);
        }
        changed || !before.is_empty()
    }

    /// All resources, by file.
    pub fn resources(&self) -> impl Iterator<Item = &Resource> {
        self.files.values().flat_map(|entry| &entry.resources)
    }

    /// What is wrong now, names that two files hold included: the first file's resource is meant.
    pub fn problems(&self) -> Problems {
        let problems = self.files.values().flat_map(|entry| &entry.problems.0);
        let mut problems: Vec<_> = problems.cloned().collect();
        let mut names = BTreeMap::new();
        for resource in self.resources() {
            let name = (resource.namespace(), resource.name());
            let first: &Resource = names.entry(name).or_insert(resource);
            if !std::ptr::eq(first, resource) {
                problems.push(Problem {
                    field: "metadata.name".to_owned(),
                    position: Some(resource.position().clone()),
                    ..Problem::of_file(&resource.title(), second_of(first))
                });
            }
        }
        Problems(problems)
    }
}

fn second_of(first: &Resource) -> String {
    format!(
        "a second resource of this name; the first is at {}",
        first.position()
    )
}

impl Entry {
    /// Whether anything is different now.
    fn update(&mut self, path: &str, text: io::Result<String>, namespace: &str) -> bool {
        let (good, problems) = match text {
            Ok(text) if self.text.as_ref() == Some(&text) => return false,
            Ok(text) => {
                let read = ResourceReader::default().read(&text, path, namespace);
                self.text = Some(text);
                read
            }
            Err(error) => {
                self.text = None;
                let problem = Problem::of_file(path, format!("cannot be read: {error}"));
                (Vec::new(), Problems(vec![problem]))
            }
        };
        let mut resources = good;
        if !problems.0.is_empty() {
            let last = std::mem::take(&mut self.resources);
            let is_kept = |old: &Resource| !resources.iter().any(|new| new.has_name_of(old));
            let kept: Vec<_> = last.into_iter().filter(is_kept).collect();
            resources.extend(kept);
        }
        let changed = resources != self.resources || problems != self.problems;
        self.resources = resources;
        self.problems = problems;
        changed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(name: &str, priority: &str) -> String {
        format!(
            "apiVersion: extensions.istio.io/v1alpha1\nkind: WasmPlugin\n\
             metadata: {{name: {name}}}\nspec: {{url: file:///a.wasm, priority: {priority}}}\n---\n"
        )
    }

    fn file(path: &str, text: String) -> (String, io::Result<String>) {
        (path.to_owned(), Ok(text))
    }

    fn told(directory: &Directory) -> Vec<String> {
        let told = |resource: &Resource| {
            let priority = resource.rank().priority.unwrap();
            format!("{} {priority}", resource.resource())
        };
        directory.resources().map(told).collect()
    }

    #[test]
    fn files_come_change_and_go() {
        let mut directory = Directory::default();
        let one = || file("one.yaml", document("a", "1") + &document("b", "1"));
        assert!(directory.update([one(), file("two.yaml", document("c", "1"))], "shop"));
        assert_eq!(told(&directory), ["shop/a 1", "shop/b 1", "shop/c 1"]);
        let same = [one(), file("two.yaml", document("c", "1"))];
        assert!(!directory.update(same, "shop"));
        assert!(directory.update([one()], "shop"));
        assert_eq!(told(&directory), ["shop/a 1", "shop/b 1"]);
        assert!(directory.update([file("one.yaml", document("b", "2"))], "shop"));
        assert_eq!(told(&directory), ["shop/b 2"]);
        assert!(directory.update([], "shop"));
        assert!(told(&directory).is_empty());
    }

    #[test]
    fn a_name_in_two_files_is_told() {
        let mut directory = Directory::default();
        let two = file("two.yaml", document("b", "1") + &document("a", "2"));
        directory.update([file("one.yaml", document("a", "1")), two], "shop");
        assert_eq!(
            directory.problems().to_string(),
            "WasmPlugin \"shop/a\": metadata.name: a second resource of this name; the first is at \
             one.yaml:1:1 (at two.yaml:6:1)"
        );
    }

    #[test]
    fn what_gets_worse_replaces_nothing() {
        let mut directory = Directory::default();
        directory.update(
            [file("one.yaml", document("a", "1") + &document("b", "1"))],
            "shop",
        );
        for (text, resources, problems) in [
            // Not even YAML.
            ("{".to_owned(), &["shop/a 1", "shop/b 1"][..], 1),
            // One of two is wrong.
            (
                document("a", "2") + &document("b", "x"),
                &["shop/a 2", "shop/b 1"],
                1,
            ),
            // A scalar that Kubernetes reads as something else.
            (
                document("a", "2, pluginConfig: {x: on}"),
                &["shop/a 2", "shop/b 1"],
                1,
            ),
            // The wrong one has lost its name.
            (
                document("a", "3") + &document("", "4"),
                &["shop/a 3", "shop/b 1"],
                1,
            ),
            (document("a", "5"), &["shop/a 5"], 0),
            (String::new(), &["shop/a 5"], 1),
        ] {
            assert!(
                directory.update([file("one.yaml", text.clone())], "shop"),
                "{text}"
            );
            assert_eq!(told(&directory), resources, "{text}");
            assert_eq!(directory.problems().0.len(), problems, "{text}");
        }
        let unreadable = ("one.yaml".to_owned(), Err(io::ErrorKind::NotFound.into()));
        assert!(directory.update([unreadable], "shop"));
        assert_eq!(told(&directory), ["shop/a 5"]);
        // As good as before, once it can be read again.
        assert!(directory.update([file("one.yaml", document("a", "5"))], "shop"));
        assert_eq!(directory.problems().0, []);
    }
}
