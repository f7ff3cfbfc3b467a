//! What a deployment's plugins are worked out from: settings, and the files that they name.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::watch::directory_of;
use crate::plugin::{
    self, Directory, ModuleUrl, Plan, PluginSpec, Problems, Resource, VerificationKey, is_manifest,
};
use crate::source::Request;

/// Everything that was read, as it was last good.
#[derive(Clone, Debug)]
pub(super) struct Inputs {
    /// What the filter entry says.
    settings: Vec<u8>,
    config_file: Option<String>,
    pub(super) plan: Plan,
    directory: Directory,
    labels: BTreeMap<String, String>,
    /// The plugins that apply, in order: worked out once for each reading.
    plugins: Vec<PluginSpec>,
    /// What is wrong now, and was told.
    problems: Vec<String>,
}

impl Inputs {
    /// Reads what `settings`, a filter entry's, name.
    ///
    /// # Errors
    ///
    /// What is wrong with the settings; what is wrong with files of resources and labels is told by
    /// [`Self::problems`].
    pub(super) fn read(settings: &[u8]) -> Result<Self, Problems> {
        let (plan, config_file) = read_plan(settings)?;
        let mut inputs = Self {
            settings: settings.to_vec(),
            config_file,
            ..Self::unread(plan)
        };
        inputs.problems = inputs.read_files();
        inputs.plugins = inputs.apply();
        Ok(inputs)
    }

    /// A plan that somebody has made, and no file besides.
    pub(super) fn of(plan: Plan) -> Self {
        let mut inputs = Self::unread(plan);
        inputs.plugins = inputs.apply();
        inputs
    }

    /// No file has been read, and nothing worked out.
    fn unread(plan: Plan) -> Self {
        Self {
            settings: Vec::new(),
            config_file: None,
            plan,
            directory: Directory::default(),
            labels: BTreeMap::new(),
            plugins: Vec::new(),
            problems: Vec::new(),
        }
    }

    /// Reads everything again. Whether anything is different now; the problems are those that are
    /// new.
    pub(super) fn read_again(&mut self) -> (bool, Vec<String>) {
        let before = (self.plan.clone(), self.labels.clone());
        let mut problems = Vec::new();
        match read_plan(&self.settings) {
            Ok((plan, config_file)) => (self.plan, self.config_file) = (plan, config_file),
            Err(found) => problems.extend(found.0.iter().map(ToString::to_string)),
        }
        problems.extend(self.read_files());
        let known = std::mem::replace(&mut self.problems, problems);
        let new = self
            .problems
            .iter()
            .filter(|problem| !known.contains(problem));
        let new = new.cloned().collect();
        let plugins = self.apply();
        // Labels also select what routes add.
        let is_changed =
            plugins != self.plugins || before.0 != self.plan || before.1 != self.labels;
        self.plugins = plugins;
        (is_changed, new)
    }

    /// What is wrong with files of resources and labels.
    pub(super) fn problems(&self) -> &[String] {
        &self.problems
    }

    fn read_files(&mut self) -> Vec<String> {
        let mut problems = Vec::new();
        let found = match &self.plan.plugins_dir {
            Some(directory) => manifests(directory),
            None => Ok(Vec::new()),
        };
        match found {
            Ok(found) => {
                let namespace = &self.plan.workload.namespace;
                self.directory.update(found, namespace);
                let found = self.directory.problems();
                problems.extend(found.0.iter().map(ToString::to_string));
            }
            Err(error) => {
                let directory = self.plan.plugins_dir.as_deref().unwrap_or_default();
                problems.push(format!(
                    "pluginsDir: {directory:?}: cannot be read: {error}"
                ));
            }
        }
        match &self.plan.labels_file {
            None => self.labels.clear(),
            Some(path) => match read_file(path) {
                Ok(text) => match plugin::labels(&text, path) {
                    Ok(labels) => self.labels = labels,
                    Err(found) => problems.extend(found.0.iter().map(ToString::to_string)),
                },
                Err(error) => problems.push(format!(
                    "workload.labelsFile: {path:?}: cannot be read: {error}"
                )),
            },
        }
        problems
    }

    /// The plugins that apply, in order.
    pub(super) fn plugins(&self) -> &[PluginSpec] {
        &self.plugins
    }

    /// Works out [`Self::plugins`].
    fn apply(&self) -> Vec<PluginSpec> {
        self.plan.plugins_with(&self.directory, &self.labels)
    }

    /// The plugins that apply where a route adds some, in order. One of the same name as another
    /// stands in for it.
    pub(super) fn plugins_and(&self, added: &[Resource]) -> Vec<PluginSpec> {
        let plan = &self.plan;
        let arrangement = plan.arrange_on_route(&self.directory, &self.labels, added);
        let placed = arrangement.placed.iter();
        placed
            .map(|placed| self.plan.spec(placed.resource))
            .collect()
    }

    /// The directories in which something changes when an input does.
    pub(super) fn directories(&self) -> BTreeSet<PathBuf> {
        let plan = &self.plan;
        let files = [&self.config_file, &plan.labels_file];
        let mut files: Vec<_> = files.into_iter().flatten().map(String::as_str).collect();
        for spec in &self.plugins {
            files.extend(files_of(spec));
        }
        let directories = plan.plugins_dir.iter().map(PathBuf::from);
        let parents = files.into_iter().map(directory_of);
        let secret = |spec| Request::from(spec).secret_file(&plan.fetch);
        let secrets = self.plugins.iter().filter_map(secret);
        // Up to secretsDir: any of these may have yet to come.
        let of_secrets = secrets.flat_map(|file| {
            let above = file.ancestors().skip(1).take(3);
            above.map(Path::to_owned).collect::<Vec<_>>()
        });
        directories.chain(parents).chain(of_secrets).collect()
    }
}

/// The files that make a plugin what it is.
pub(super) fn files_of(spec: &PluginSpec) -> impl Iterator<Item = &str> {
    let module = match &spec.url {
        ModuleUrl::File(path) => Some(path.as_str()),
        ModuleUrl::Http(_) | ModuleUrl::Oci(_) => None,
    };
    let key = match &spec.verification_key {
        Some(VerificationKey::File(path)) => Some(path.as_str()),
        _ => None,
    };
    module.into_iter().chain(key)
}

/// The plan of `settings`, and the `configFile` that it is made of.
fn read_plan(settings: &[u8]) -> Result<(Plan, Option<String>), Problems> {
    let config_file = RefCell::new(None);
    let plan = plugin::plan(settings, &|path| {
        config_file.replace(Some(path.to_owned()));
        read_file(path)
    })?;
    Ok((plan, config_file.into_inner()))
}

/// The files of resources in `directory`, by path.
fn manifests(directory: &str) -> io::Result<Vec<(String, io::Result<String>)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory)? {
        let name = entry?.file_name();
        let Some(name) = name.to_str().filter(|name| is_manifest(name)) else {
            continue;
        };
        let path = Path::new(directory).join(name).display().to_string();
        let text = read_file(&path);
        // Gone since it was listed.
        if text
            .as_ref()
            .is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
        {
            continue;
        }
        found.push((path, text));
    }
    Ok(found)
}

fn read_file(path: &str) -> io::Result<String> {
    if !fs::metadata(path)?.is_file() {
        // A pipe or device would block for ever.
        return Err(io::Error::other("not a regular file"));
    }
    fs::read_to_string(path)
}
