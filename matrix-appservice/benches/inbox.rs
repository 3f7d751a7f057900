//! Transactions pushed into the durable inbox over HTTP, until the last of their events is handled.
//!
//! ```sh
//! cargo bench -p matrix-appservice --bench inbox
//! ```
//!
//! The store lies in the target directory, so on a real disk. The throughput that is printed counts events.

#![expect(clippy::unwrap_used, reason = "a benchmark that meets the unexpected stops")]

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use matrix_appservice::{
    Appservice, Registration, Secret, Store,
    service::{AppserviceHandler, EventContext, Outcome, RoomEvent},
};
use tokio_util::sync::CancellationToken;

/// How many rooms the events of a transaction are spread over.
const ROOMS: usize = 10;
/// The digits of the number that makes every event ID its own.
const DIGITS: usize = 12;

/// Counts what it handles.
#[derive(Clone, Default)]
struct Counter(Arc<AtomicU64>);

#[async_trait]
impl AppserviceHandler for Counter {
    async fn event(&self, _cx: &EventContext, _event: RoomEvent) -> Outcome {
        self.0.fetch_add(1, Ordering::Relaxed);
        Outcome::Done
    }
}

/// A request with room for the numbers that differ from one transaction to the next.
#[derive(Clone)]
struct Template {
    bytes: Vec<u8>,
    places: Vec<usize>,
}

impl Template {
    fn new(events: usize) -> Self {
        let zeros = "0".repeat(DIGITS);
        let event = |index: usize| {
            format!(
                r#"{{"content":{{"body":"Number {index} of some words that people say to each other all day","msgtype":"m.text"}},"event_id":"$N{zeros}aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa","origin_server_ts":1421416883133,"room_id":"!room{}:hs.test","sender":"@alice:hs.test","type":"m.room.message","unsigned":{{"age":1234}},"user_id":"@alice:hs.test","age":1234}}"#,
                index % ROOMS
            )
        };
        let events: Vec<String> = (0..events).map(event).collect();
        let body = format!(r#"{{"events":[{}]}}"#, events.join(","));
        let request = format!(
            "PUT /_matrix/app/v1/transactions/N{zeros} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer hs\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        let places = request.match_indices(&format!("N{zeros}")).map(|(place, _)| place + 1).collect();
        Self { bytes: request.into_bytes(), places }
    }

    /// Writes a fresh number into every place.
    fn renew(&mut self, next: &AtomicU64) {
        let first = next.fetch_add(self.places.len() as u64, Ordering::Relaxed);
        for (number, place) in (first..).zip(&self.places) {
            self.bytes[*place..place + DIGITS].copy_from_slice(format!("{number:0DIGITS$}").as_bytes());
        }
    }
}

fn push(stream: &mut TcpStream, request: &[u8]) {
    stream.write_all(request).unwrap();
    let mut answer = Vec::with_capacity(512);
    let mut chunk = [0; 512];
    while !answer.ends_with(b"{}") {
        let read = stream.read(&mut chunk).unwrap();
        assert!(read > 0, "the service closed the connection");
        answer.extend_from_slice(&chunk[..read]);
    }
    assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
}

/// A service that runs in threads of its own, as it would in a bridge.
struct Service {
    _directory: tempfile::TempDir,
    address: SocketAddr,
    handled: Counter,
    shutdown: CancellationToken,
    thread: Option<thread::JoinHandle<()>>,
}

impl Service {
    fn start() -> Self {
        let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let store = Store::open(directory.path()).unwrap();
        let registration =
            Registration::builder("bench").tokens(Secret::new("as"), Secret::new("hs")).build();
        let service = Appservice::builder(registration)
            .server_name("hs.test".try_into().unwrap())
            .store(store)
            .inbox_capacity(1_000_000)
            .build()
            .unwrap();
        let (handled, shutdown) = (Counter::default(), CancellationToken::new());
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let thread = thread::spawn({
            let (handled, shutdown) = (handled.clone(), shutdown.clone());
            move || {
                let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
                runtime.block_on(async {
                    let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                    service.run(handled, listener, shutdown).await.unwrap();
                });
            }
        });
        Self { _directory: directory, address, handled, shutdown, thread: Some(thread) }
    }

    /// Pushes transactions over the connections until `count` are answered and all their events handled.
    fn push(&self, connections: &mut [TcpStream], template: &Template, count: u64, next: &AtomicU64) {
        let expected = self.handled.0.load(Ordering::Relaxed) + count * (template.places.len() as u64 - 1);
        let left = Mutex::new(count);
        let take = || {
            let mut left = left.lock().unwrap();
            *left > 0 && {
                *left -= 1;
                true
            }
        };
        thread::scope(|scope| {
            for stream in connections {
                scope.spawn(|| {
                    let mut template = template.clone();
                    while take() {
                        template.renew(next);
                        push(stream, &template.bytes);
                    }
                });
            }
        });
        while self.handled.0.load(Ordering::Relaxed) < expected {
            thread::yield_now();
        }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.shutdown.cancel();
        self.thread.take().unwrap().join().unwrap();
    }
}

fn transactions(criterion: &mut Criterion) {
    let next = AtomicU64::new(1);
    let mut group = criterion.benchmark_group("transactions");
    group.sample_size(20).warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(5));
    for events in [1, 100] {
        let template = Template::new(events);
        group.throughput(Throughput::Elements(events as u64));
        for connections in [1, 16] {
            let service = Service::start();
            let mut streams: Vec<TcpStream> = (0..connections)
                .map(|_| {
                    let stream = TcpStream::connect(service.address).unwrap();
                    stream.set_nodelay(true).unwrap();
                    stream
                })
                .collect();
            let id = BenchmarkId::new(format!("{events} events"), format!("{connections} connections"));
            group.bench_function(id, |bencher| {
                bencher.iter_custom(|count| {
                    let begun = Instant::now();
                    service.push(&mut streams, &template, count, &next);
                    begun.elapsed()
                });
            });
        }
    }
    group.finish();
}

criterion_group!(benches, transactions);
criterion_main!(benches);
