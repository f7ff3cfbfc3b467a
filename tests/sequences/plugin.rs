//! Plugins as the chain drives them: instances, and what they leave to be done elsewhere.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};
use std::time::Duration;

use wasmplugin_host::chain::{Context, Filter, Lent, Outage};
use wasmplugin_host::proxy_wasm::{
    AbiVersion, Actions, Address, Call, CallError, CallEvent, CallRef, Callouts, Capabilities,
    Caps, Event, Failure, Guest, Instance, Limits, Metrics, Notice, Plugin, Runtime, SharedData,
    SharedQueues,
};
use wasmplugin_host::telemetry::{Level, Log};
use wasmplugin_host::vm::{Engine, InstanceLimits};

use super::program::Input;
use super::{coverage, guest};

/// The engine and its host functions, once a process.
fn runtime() -> &'static (Arc<Engine>, Runtime) {
    static RUNTIME: OnceLock<(Arc<Engine>, Runtime)> = OnceLock::new();
    RUNTIME.get_or_init(|| {
        let engine = Arc::new(Engine::new().expect("an engine"));
        let runtime = Runtime::new(&engine).expect("host functions");
        (engine, runtime)
    })
}

pub(super) fn engine() -> &'static Engine {
    &runtime().0
}

/// A module, ready to run.
pub(super) fn load(wasm: &[u8]) -> Guest {
    let (engine, runtime) = runtime();
    let module = engine.compile(wasm).expect("a module");
    let guest = runtime.plugin(wasm, &module, &Capabilities::ALL);
    guest.expect("a plugin")
}

/// The interpreter of a version of the ABI.
fn interpreter(version: AbiVersion) -> &'static Guest {
    static GUESTS: [OnceLock<Guest>; AbiVersion::ALL.len()] =
        [const { OnceLock::new() }; AbiVersion::ALL.len()];
    let place = AbiVersion::ALL.iter().position(|known| *known == version);
    let guest = &GUESTS[place.expect("a known version")];
    guest.get_or_init(|| load(&guest::assemble(version)))
}

/// Counts what becomes of calls of host functions; other lines are of no interest.
struct Count;

impl Log for Count {
    fn enabled(&self, _: Level) -> bool {
        true
    }

    fn threshold(&self) -> Option<Level> {
        Some(Level::Trace)
    }

    fn write(&self, level: Level, line: &[u8]) {
        if level == Level::Trace {
            coverage::told(line);
        }
    }
}

/// All plugins of an input.
pub(super) struct Plugins {
    pub(super) all: Vec<Arc<TestPlugin>>,
}

/// One plugin.
pub(super) struct TestPlugin {
    guest: Guest,
    instance: Mutex<Option<Instance>>,
    fails_open: bool,
    holds_headers_only: bool,
    pub(super) left: Mutex<Left>,
}

/// What is to be done elsewhere.
#[derive(Default)]
pub(super) struct Left {
    pub(super) ticks: bool,
    pub(super) ready: VecDeque<(Address, u32, Notice)>,
    /// Calls that the main thread is to send.
    pub(super) unsent: Vec<(u32, Call)>,
    /// Calls that the main thread has sent.
    pub(super) sent: Vec<(u64, u32)>,
    pub(super) cancelled: Vec<u32>,
    pub(super) asked: Vec<(u64, u32, Actions)>,
}

impl Plugins {
    /// The interpreters of an input.
    pub(super) fn start(input: &Input) -> Self {
        let settings = Settings {
            deadline: Duration::from_secs(10),
            memory: 4 << 20,
            fails_open: input.fails_open,
            holds_headers_only: input.holds_headers_only,
        };
        let interpreter = interpreter(input.abi);
        let guests = input.images.iter().map(|image| (interpreter, &image[..]));
        Self::of(guests, settings)
    }

    /// A plugin without configuration.
    pub(super) fn alone(guest: &Guest, deadline: Duration, memory: u64) -> Self {
        let settings = Settings {
            deadline,
            memory,
            fails_open: false,
            holds_headers_only: false,
        };
        Self::of([(guest, &[][..])].into_iter(), settings)
    }

    fn of<'a>(guests: impl Iterator<Item = (&'a Guest, &'a [u8])>, settings: Settings) -> Self {
        let (data, queues) = (SharedData::default(), Arc::new(SharedQueues::default()));
        let metrics = Metrics::default();
        let start = |(number, (guest, config)): (u64, (&Guest, &[u8]))| {
            let plugin = Plugin {
                name: format!("default.plugin{number}"),
                root_id: "root".to_owned(),
                vm_id: String::new(),
                config: config.to_vec(),
                vm_config: b"VM configuration".to_vec(),
                env: vec!["NAME=value".to_owned()],
                log: Arc::new(Count),
                shared_data: data.space(""),
                shared_queues: Arc::clone(&queues),
                metrics: metrics.of("default.plugin"),
                limits: Limits {
                    open_callouts: 16,
                    shared_data: 1 << 16,
                },
            };
            let address = Address {
                plugin: number,
                worker: 0,
                instance: number + 1,
            };
            let caps = Caps {
                call_deadline: settings.deadline,
                start_deadline: Duration::from_secs(10),
                limits: InstanceLimits {
                    memory: settings.memory,
                    table_elements: 10_000,
                },
            };
            let plugin = Arc::new(plugin);
            let started = Instance::start(&runtime().0, guest, plugin, address, &caps);
            let plugin = TestPlugin {
                guest: guest.clone(),
                instance: Mutex::new(started.ok()),
                fails_open: settings.fails_open,
                holds_headers_only: settings.holds_headers_only,
                left: Mutex::default(),
            };
            plugin.empty_outbox();
            Arc::new(plugin)
        };
        Self {
            all: (0..).zip(guests).map(start).collect(),
        }
    }
}

/// What all plugins of an input have in common.
#[derive(Clone, Copy)]
struct Settings {
    deadline: Duration,
    memory: u64,
    fails_open: bool,
    holds_headers_only: bool,
}

impl TestPlugin {
    pub(super) fn lives(&self) -> bool {
        self.instance.lock().expect("no panic before").is_some()
    }

    pub(super) fn left(&self) -> MutexGuard<'_, Left> {
        self.left.lock().expect("no panic before")
    }

    /// Runs `work` in the instance, if that lives.
    pub(super) fn within<T>(
        &self,
        instance: Option<u64>,
        work: impl FnOnce(&mut Instance) -> Result<T, Failure>,
    ) -> Option<Result<T, Outage>> {
        let mut slot = self.instance.lock().expect("no panic before");
        let living = slot.as_mut()?;
        if instance.is_some_and(|number| number != living.number()) {
            return None;
        }
        let result = work(living);
        if result.is_err() {
            *slot = None;
        }
        drop(slot);
        self.empty_outbox();
        Some(result.map_err(|_| self.outage()))
    }

    fn empty_outbox(&self) {
        let mut slot = self.instance.lock().expect("no panic before");
        let Some(outbox) = slot.as_mut().and_then(Instance::take_outbox) else {
            return;
        };
        let mut left = self.left();
        if let Some(period) = outbox.tick {
            left.ticks = period > 0;
        }
        left.ready.extend(outbox.ready);
        left.unsent.extend(outbox.calls);
        left.sent.extend(outbox.sent);
        left.cancelled.extend(outbox.cancelled);
        left.asked.extend(outbox.asked);
    }
}

impl Filter for TestPlugin {
    fn open(&self, worker: u32, exchange: &mut Lent) -> Result<Context, Outage> {
        let opened = self.within(None, |instance| {
            let id = instance.create_stream(exchange)?;
            Ok((instance.number(), id))
        });
        match opened {
            Some(Ok((instance, id))) => Ok(Context {
                worker,
                instance,
                id,
            }),
            Some(Err(outage)) => Err(outage),
            None => Err(self.outage()),
        }
    }

    fn on_event(
        &self,
        context: &Context,
        event: &Event,
        exchange: &mut Lent,
    ) -> Result<u32, Outage> {
        let told = self.within(Some(context.instance), |instance| {
            instance.on_event(context.id, event, exchange)
        });
        told.unwrap_or_else(|| Err(self.outage()))
    }

    fn wants(&self, event: &Event) -> bool {
        self.guest.wants(event)
    }

    fn holds_headers_only(&self) -> bool {
        self.holds_headers_only
    }

    fn outage(&self) -> Outage {
        if self.fails_open {
            Outage::Skip
        } else {
            Outage::Refuse {
                status: 503,
                details: "failed".to_owned(),
            }
        }
    }

    fn on_call(
        &self,
        context: &Context,
        token: u32,
        event: CallEvent,
        exchange: &mut Lent,
    ) -> Result<(), Outage> {
        let told = self.within(Some(context.instance), |instance| {
            instance.on_call(token, event, context.id, exchange, &mut None)
        });
        told.unwrap_or_else(|| Err(self.outage()))
    }

    fn call_elsewhere(&self, _: &Context, token: u32, call: Call) {
        self.left().unsent.push((token, call));
    }

    fn log(&self, context: &Context, exchange: &mut Lent) {
        let _ended = self.within(Some(context.instance), |instance| {
            instance.log_stream(context.id, exchange)
        });
    }

    fn delete(&self, context: &Context, exchange: &mut Lent) {
        let _ended = self.within(Some(context.instance), |instance| {
            instance.delete_stream(context.id, exchange)
        });
    }
}

/// The calls of the main thread.
#[derive(Debug, Default)]
pub(super) struct MainThread {
    pub(super) last: u64,
}

impl Callouts for MainThread {
    fn call(&mut self, call: &CallRef<'_>) -> Result<u64, CallError> {
        if call.cluster != b"upstream" {
            return Err(CallError::ClusterNotFound);
        }
        assert!(call.is_complete(), "Envoy would refuse this call");
        self.last += 1;
        Ok(self.last)
    }

    fn send(&mut self, _: u64, _: &[u8], _: bool) -> bool {
        true
    }

    fn check(&mut self, cluster: &[u8]) -> Result<(), CallError> {
        match cluster {
            b"upstream" => Ok(()),
            _ => Err(CallError::ClusterNotFound),
        }
    }
}
