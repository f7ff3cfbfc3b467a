//! The way of a module into the process: store, server, store again.
//!
//! Whether an earlier fetch will do is decided here, by Istio's rules: `IfNotPresent` never asks
//! again for a URL that the store knows, `Always` asks whenever [`Fetcher::fetch`] is called, which
//! is at start and when a resource changed. What a digest names, in the reference or in `sha256`,
//! cannot change, so that nobody need ask. When `Always` meets a registry that is away, the last module goes on being used; when
//! the registry answers that it does not give it any more, that answer counts.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

use super::digest::Digest;
use super::fetched::{Fetched, Origin};
use super::flight::Flights;
use super::http::Found;
use super::label::{Label, Stats};
use super::net::session::{Patience, Session};
use super::net::validators::Validators;
use super::oci::answers::Answers;
use super::oci::image::Resolved;
use super::oci::reference::Reference;
use super::oci::repository::Repository;
use super::progress::Progress;
use super::request::Request;
use super::sidecar::{self, Sidecar};
use super::store::{Entry, Store, Stored};
use super::{FetchError, file, http};
use crate::plugin::{FetchSettings, ModuleUrl, PullPolicy};
use crate::telemetry::Log;

/// Fetches modules; one for the process. Every call blocks the thread that makes it.
pub struct Fetcher {
    stats: Arc<Stats>,
    log: Arc<dyn Log>,
    progress: Option<Arc<dyn Progress>>,
    /// By `cacheDir`.
    stores: Mutex<HashMap<Option<String>, Arc<Store>>>,
    flights: Flights<Outcome>,
}

/// Whether what is there will do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// As the request says.
    Policy,
    /// No, whatever the pull policy is. The digest tells whether there is something new.
    Anew,
}

/// How a fetch ended.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// With this.
    pub result: Result<Fetched, FetchError>,
    /// After these attempts, which all who shared the fetch are told.
    pub stats: Arc<Stats>,
}

impl Fetcher {
    /// A fetcher that has done nothing yet.
    pub fn new(log: Arc<dyn Log>) -> Self {
        Self {
            stats: Arc::default(),
            log,
            progress: None,
            stores: Mutex::default(),
            flights: Flights::default(),
        }
    }

    /// Tells `progress` of downloads.
    #[must_use]
    pub fn with_progress(mut self, progress: Arc<dyn Progress>) -> Self {
        self.progress = Some(progress);
        self
    }

    /// What was done so far, by all.
    pub const fn stats(&self) -> &Arc<Stats> {
        &self.stats
    }

    /// The module that `request` wants, from the store or from where it comes from, in
    /// `fetch.attempts` attempts within `fetch.timeout`. Who asks for the same at the same time
    /// gets the same answer.
    pub fn fetch(
        &self,
        request: &Request,
        settings: &FetchSettings,
    ) -> Result<Fetched, FetchError> {
        self.ask(request, settings, Freshness::Policy).result
    }

    /// As [`Self::fetch`], or else if it is to be [`Freshness::Anew`]; with what it took.
    pub fn ask(
        &self,
        request: &Request,
        settings: &FetchSettings,
        freshness: Freshness,
    ) -> Outcome {
        if let ModuleUrl::File(path) = &request.url {
            return self.file(path, request, settings);
        }
        let flight = Digest::of(format!("{request:?} {settings:?} {freshness:?}").as_bytes());
        self.flights
            .join(flight, || self.remote(request, settings, freshness))
    }

    /// The repository of `request`'s image, to ask for what belongs to it. Fails for what is no
    /// image.
    pub fn repository(
        &self,
        request: &Request,
        settings: &FetchSettings,
    ) -> Result<Repository, FetchError> {
        self.repository_counting(request, settings, &self.stats)
    }

    fn repository_counting(
        &self,
        request: &Request,
        settings: &FetchSettings,
        stats: &Arc<Stats>,
    ) -> Result<Repository, FetchError> {
        match &request.url {
            ModuleUrl::Oci(reference) => {
                let reference = Reference::parse(reference)?;
                let secret = request.pull_secret.as_ref();
                let credentials = reference.credentials(secret, settings.secrets_dir.as_deref())?;
                let session = self.session(settings, stats)?;
                let answers = self.answers(request, settings);
                Ok(Repository::new(session, reference, credentials, answers))
            }
            _ => Err(FetchError::Url {
                url: request.shown(),
                reason: "not in a registry".to_owned(),
            }),
        }
    }

    /// What stands beside the module of `request` at `<url>.sig`, if it has `limit` bytes at most.
    /// Nothing stands beside an image.
    pub fn sidecar(
        &self,
        request: &Request,
        settings: &FetchSettings,
        limit: u64,
    ) -> Option<Sidecar> {
        match &request.url {
            ModuleUrl::File(path) => {
                let place = sidecar::path(path);
                let content = sidecar::read(&place, settings, limit);
                Some(Sidecar { place, content })
            }
            ModuleUrl::Http(url) => Some(match sidecar::url(url) {
                Ok(url) => Sidecar {
                    place: http::without_secrets(url.as_str()),
                    content: self.session(settings, &self.stats).and_then(|session| {
                        let answers = self.answers(request, settings);
                        sidecar::fetch(&session, &answers, &url, limit)
                    }),
                },
                Err(error) => Sidecar {
                    place: request.shown(),
                    content: Err(error),
                },
            }),
            ModuleUrl::Oci(_) => None,
        }
    }

    fn file(&self, path: &str, request: &Request, settings: &FetchSettings) -> Outcome {
        let checked =
            |bytes| Fetched::check(bytes, request.sha256.as_deref(), "the file's content");
        let result = file::read(path, settings).and_then(checked);
        let stats = Stats::default();
        stats.attempt(match &result {
            Ok(_) => Label::Success,
            Err(error) => error.label(),
        });
        self.outcome(result, Arc::new(stats))
    }

    fn remote(&self, request: &Request, settings: &FetchSettings, freshness: Freshness) -> Outcome {
        let fetch = Fetch {
            fetcher: self,
            store: self.store(settings.cache_dir.as_deref()),
            key: request.key(),
            request,
            settings,
            stats: Arc::default(),
        };
        let result = fetch.run(freshness);
        fetch.store.tidy();
        self.outcome(result, fetch.stats)
    }

    fn outcome(&self, result: Result<Fetched, FetchError>, stats: Arc<Stats>) -> Outcome {
        self.stats.add(&stats);
        Outcome { result, stats }
    }

    fn answers(&self, request: &Request, settings: &FetchSettings) -> Answers {
        Answers::new(self.store(settings.cache_dir.as_deref()), request.key())
    }

    fn session(&self, settings: &FetchSettings, stats: &Arc<Stats>) -> Result<Session, FetchError> {
        Session::start(settings, stats, self.progress.clone())
    }

    fn store(&self, cache_dir: Option<&str>) -> Arc<Store> {
        let mut stores = self.stores.lock();
        let open = || Arc::new(Store::open(cache_dir, Arc::clone(&self.log)));
        Arc::clone(
            stores
                .entry(cache_dir.map(str::to_owned))
                .or_insert_with(open),
        )
    }
}

impl std::fmt::Debug for Fetcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fetcher").finish_non_exhaustive()
    }
}

/// One fetch over the network, or instead of it.
struct Fetch<'a> {
    fetcher: &'a Fetcher,
    store: Arc<Store>,
    key: Digest,
    request: &'a Request,
    settings: &'a FetchSettings,
    /// What it takes.
    stats: Arc<Stats>,
}

/// What an attempt found.
enum Pulled<T> {
    /// The store has it: its server or registry says that nothing has changed.
    Known(Box<(Entry, Stored)>),
    New(T),
}

impl Fetch<'_> {
    fn run(&self, freshness: Freshness) -> Result<Fetched, FetchError> {
        let may_be_old = freshness == Freshness::Policy && self.may_be_old();
        if may_be_old && let Some(found) = self.stored() {
            self.stats.cache_hit();
            return self.of_store(found, Origin::Store);
        }
        // Whoever else is at it, in another process, will be done soon.
        let _lock = self.store.lock(self.key, self.settings.timeout);
        if may_be_old && let Some(found) = self.stored() {
            self.stats.cache_hit();
            return self.of_store(found, Origin::Store);
        }
        let result = match &self.request.url {
            ModuleUrl::Oci(_) => self.image(),
            ModuleUrl::Http(url) => self.http(url),
            // Files are read each time.
            ModuleUrl::File(path) => {
                return self.fetcher.file(path, self.request, self.settings).result;
            }
        };
        match result {
            Err(error) if error.is_transient() => match self.stored() {
                Some(found) => {
                    self.stats.cache_hit();
                    self.of_store(found, Origin::LastGood(Arc::new(error)))
                }
                None => Err(error),
            },
            result => result,
        }
    }

    /// Whether the store's answer is as good as the registry's.
    fn may_be_old(&self) -> bool {
        let is_fixed = match &self.request.url {
            ModuleUrl::Oci(reference) => reference.contains("@sha256:"),
            _ => false,
        };
        is_fixed
            || self.request.sha256.is_some()
            || self.request.pull_policy == PullPolicy::IfNotPresent
    }

    /// What the store has for this request, if it is what is wanted.
    fn stored(&self) -> Option<(Entry, Stored)> {
        let entry = self.store.find(self.key)?;
        if !entry.is(self.request.sha256.as_deref()) {
            return None;
        }
        let stored = self.load(&entry)?;
        Some((entry, stored))
    }

    fn load(&self, entry: &Entry) -> Option<Stored> {
        self.store
            .load(entry.module, self.settings.max_module_bytes)
    }

    fn of_store(
        &self,
        (entry, stored): (Entry, Stored),
        origin: Origin,
    ) -> Result<Fetched, FetchError> {
        Ok(Fetched::check_shared(stored.bytes, entry.module)?
            .with_image(entry.image)
            .with_origin(origin)
            .with_lease(stored.lease))
    }

    /// Little, where there is a module to go on with.
    fn patience(&self) -> Patience {
        let patience = Patience::of(self.settings);
        let want = self.request.sha256.as_deref();
        // Whether the module is still there shows when it is wanted.
        match self.store.find(self.key) {
            Some(entry) if entry.is(want) => patience.little(),
            _ => patience,
        }
    }

    fn http(&self, url: &str) -> Result<Fetched, FetchError> {
        let session = self.begun(self.fetcher.session(self.settings, &self.stats))?;
        let shown = self.request.shown();
        let max = self.settings.max_module_bytes;
        let want = self.request.sha256.as_deref();
        let pulled = session.persist(&shown, self.patience(), async || {
            let known = self.stored();
            let validators = known
                .as_ref()
                .and_then(|(entry, _)| entry.validators.as_ref());
            let found = http::fetch(session.client(), url, max, validators).await?;
            match (found, known) {
                (Found::Module(bytes, validators), _) => {
                    let what = "the module at that URL, unpacked,";
                    Ok(Pulled::New((
                        Fetched::check(bytes, want, what)?,
                        validators,
                    )))
                }
                (Found::Same, Some(known)) => Ok(Pulled::Known(Box::new(known))),
                // Only who knows something is told that it is the same.
                (Found::Same, None) => Err(FetchError::Protocol {
                    what: shown.clone(),
                    reason: "304 to a request without a condition".to_owned(),
                }),
            }
        })?;
        match pulled {
            Pulled::Known(known) => {
                self.stats.cache_hit();
                self.of_store(*known, Origin::Store)
            }
            Pulled::New((fetched, validators)) => {
                self.stats.cache_miss();
                Ok(self.keep(fetched, &[self.key], validators))
            }
        }
    }

    fn image(&self) -> Result<Fetched, FetchError> {
        let repository = self
            .fetcher
            .repository_counting(self.request, self.settings, &self.stats);
        let repository = self.begun(repository)?;
        let want = self.request.sha256.as_deref();
        let pulled = repository.persist(self.patience(), async |api| {
            // A HEAD costs nothing; registries count what is pulled.
            if let Some((entry, stored)) = self.stored()
                && let Some(image) = &entry.image
                && let Some(now) = api.digest(&api.reference().wanted()).await?
                && now == image.index.unwrap_or(image.manifest)
            {
                return Ok(Pulled::Known(Box::new((entry, stored))));
            }
            let resolved = Resolved::ask(api).await?;
            // Before anything large is fetched.
            resolved.check(want)?;
            let known = self.store.find(manifest_key(resolved.manifest()));
            if let Some(mut entry) = known
                && let Some(image) = &mut entry.image
                && image.manifest == resolved.manifest()
            {
                image.index = resolved.index();
                if let Some(stored) = self.load(&entry) {
                    return Ok(Pulled::Known(Box::new((entry, stored))));
                }
            }
            let (bytes, image) = resolved.pull(api).await?;
            // Checked here, so that the attempt counts as what it was.
            Fetched::check_header(&bytes)?;
            Ok(Pulled::New((bytes, image)))
        })?;
        match pulled {
            Pulled::Known(known) => {
                let (mut entry, stored) = *known;
                self.stats.cache_hit();
                entry.url = self.request.shown();
                self.store.note(self.key, &entry);
                self.of_store((entry, stored), Origin::Store)
            }
            Pulled::New((bytes, image)) => {
                self.stats.cache_miss();
                let keys = [self.key, manifest_key(image.manifest)];
                let fetched = Fetched::check(bytes, None, "")?.with_image(Some(image));
                Ok(self.keep(fetched, &keys, None))
            }
        }
    }

    /// Counts an attempt that failed before anybody was asked, for want of a secret for example.
    fn begun<T>(&self, result: Result<T, FetchError>) -> Result<T, FetchError> {
        result.inspect_err(|error| self.stats.attempt(error.label()))
    }

    fn keep(&self, fetched: Fetched, keys: &[Digest], validators: Option<Validators>) -> Fetched {
        let (module, image) = (fetched.digest(), fetched.image().cloned());
        let mut entry = Entry::new(self.request.shown(), module, image);
        entry.validators = validators;
        let lease = self.store.keep(keys, &entry, fetched.shared_bytes());
        fetched.with_lease(lease)
    }
}

/// The place in the index of an image's manifest, whatever it is called and wherever it is.
fn manifest_key(manifest: Digest) -> Digest {
    Digest::of(format!("manifest {manifest}").as_bytes())
}
