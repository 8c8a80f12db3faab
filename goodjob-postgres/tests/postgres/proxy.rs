//! A network between a store and its server that can be cut, or fall silent.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use goodjob_postgres::PgOptions;
use goodjob_testkit::Database;
use sqlx::postgres::PgConnectOptions;
use tokio::io::{AsyncRead, AsyncWrite, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::io::InspectReader;
use tokio_util::task::AbortOnDropHandle;

/// What the network does to the connections that there are. New ones pass.
#[derive(Clone, Copy, Debug)]
enum Fault {
    Cut,
    Silence,
}

/// Passes bytes from a port of this host to the server of a database, over its socket or TCP.
pub(crate) struct Proxy {
    port: u16,
    url: String,
    faults: watch::Sender<Fault>,
    /// What the near side has sent, in messages that it waits for an answer to.
    asked: Arc<AtomicUsize>,
    /// Ends with all connections when this is dropped.
    _serving: AbortOnDropHandle<()>,
}

trait Wire: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Wire for T {}

impl Proxy {
    pub(crate) async fn to(database: &Database) -> Self {
        Self::at(database, 0).await
    }

    /// On this port; 0 is any.
    pub(crate) async fn at(database: &Database, port: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let server: PgConnectOptions = database.url().parse().unwrap();
        let (faults, sight) = watch::channel(Fault::Cut);
        let asked = Arc::<AtomicUsize>::default();
        let serving = serve(listener, server, sight, Arc::clone(&asked));
        let serving = AbortOnDropHandle::new(tokio::spawn(serving));
        Self { port, url: through(&database.url(), port), faults, asked, _serving: serving }
    }

    /// Options for a store on the near side.
    pub(crate) fn options(&self) -> PgOptions {
        PgOptions::from_url(&self.url).unwrap()
    }

    /// Ends every connection.
    pub(crate) fn cut(&self) {
        self.faults.send_replace(Fault::Cut);
    }

    /// No byte goes through any connection any more, and nobody is told.
    pub(crate) fn fall_silent(&self) {
        self.faults.send_replace(Fault::Silence);
    }

    /// How often the near side has sent something: a statement is sent at once, and then waited for.
    pub(crate) fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    /// A port that nobody listens on, for now.
    pub(crate) async fn free_port(database: &Database) -> (u16, PgOptions) {
        let proxy = Self::to(database).await;
        (proxy.port, proxy.options())
    }
}

async fn serve(
    listener: TcpListener,
    server: PgConnectOptions,
    faults: watch::Receiver<Fault>,
    asked: Arc<AtomicUsize>,
) {
    let mut connections = JoinSet::new();
    while let Ok((near, _)) = listener.accept().await {
        let mut faults = faults.clone();
        faults.mark_unchanged();
        let (server, asked) = (server.clone(), Arc::clone(&asked));
        connections.spawn(async move {
            near.set_nodelay(true).unwrap();
            let mut near = InspectReader::new(near, move |sent| {
                asked.fetch_add(usize::from(!sent.is_empty()), Ordering::SeqCst);
            });
            let mut far: Box<dyn Wire> = match server.get_socket() {
                Some(directory) => {
                    let socket = directory.join(format!(".s.PGSQL.{}", server.get_port()));
                    Box::new(UnixStream::connect(socket).await.unwrap())
                }
                None => {
                    let address = (server.get_host(), server.get_port());
                    Box::new(TcpStream::connect(address).await.unwrap())
                }
            };
            tokio::select! {
                _ = copy_bidirectional(&mut near, &mut far) => {}
                _ = faults.changed() => {
                    let fault = *faults.borrow();
                    if matches!(fault, Fault::Silence) {
                        std::future::pending::<()>().await;
                    }
                }
            }
        });
        while connections.try_join_next().is_some() {}
    }
}

/// The same user and database, at a port of this host.
fn through(url: &str, port: u16) -> String {
    let address = url.split_once('?').map_or(url, |(address, _)| address);
    let (_, rest) = address.split_once("://").unwrap();
    let (authority, database) = rest.split_once('/').unwrap();
    let user = authority.rsplit_once('@').map(|(user, _)| format!("{user}@")).unwrap_or_default();
    format!("postgres://{user}127.0.0.1:{port}/{database}?sslmode=disable")
}
