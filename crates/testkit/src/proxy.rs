//! A place between clients and a server that delays what goes through it, keeps it back, or cuts it off.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How things go through at present.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Way {
    /// As they come.
    #[default]
    Open,
    /// Each piece so much later.
    Slow(Duration),
    /// Not at all, and nobody is told: connections stay, and new ones are taken.
    Silent,
    /// Connections are closed, and new ones with them.
    Cut,
}

/// See the module's text. Listens on the loopback interface until it is dropped.
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
}

#[derive(Clone, Copy, Default)]
struct State {
    target: Option<SocketAddr>,
    way: Way,
    over: bool,
}

/// So often it is looked how things go at present.
const LOOK: Duration = Duration::from_millis(20);

impl Proxy {
    /// Listens; passes nothing on before it is told where to.
    ///
    /// # Panics
    /// If this process cannot even listen on the loopback interface.
    pub fn listen() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a listener on the loopback");
        let address = listener.local_addr().expect("it has an address");
        let shared = Arc::<Shared>::default();
        let theirs = Arc::clone(&shared);
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let now = theirs.now();
                if now.over {
                    return;
                }
                if let (Ok(client), Some(target)) = (client, now.target) {
                    theirs.join(client, target);
                }
            }
        });
        Self { address, shared }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on it passes on to this.
    pub fn pass_on_to(&self, target: SocketAddr) {
        self.shared.change().target = Some(target);
    }

    /// How things go through from now on.
    pub fn becomes(&self, way: Way) {
        self.shared.change().way = way;
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.change().over = true;
        // Whoever waits for connections learns so by one more.
        drop(TcpStream::connect(self.address));
    }
}

impl Shared {
    fn change(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> State {
        *self.change()
    }

    /// Passes on what two say to each other, on a thread for each direction.
    fn join(self: &Arc<Self>, client: TcpStream, target: SocketAddr) {
        if self.now().way == Way::Cut {
            return;
        }
        let Ok(server) = TcpStream::connect(target) else {
            return;
        };
        let copies = (client.try_clone(), server.try_clone());
        let (Ok(client_too), Ok(server_too)) = copies else {
            return;
        };
        let pairs = [(client, server), (server_too, client_too)];
        for (from, to) in pairs {
            let shared = Arc::clone(self);
            std::thread::spawn(move || {
                // Either side may have gone away: then the other goes as well.
                let _ = shared.pump(&from, &to);
                let _ = from.shutdown(Shutdown::Both);
                let _ = to.shutdown(Shutdown::Both);
            });
        }
    }

    fn pump(&self, mut from: &TcpStream, mut to: &TcpStream) -> std::io::Result<()> {
        from.set_read_timeout(Some(LOOK))?;
        to.set_nodelay(true)?;
        let mut piece = vec![0; 64 << 10];
        loop {
            let count = match from.read(&mut piece) {
                Ok(0) => return Ok(()),
                Ok(count) => count,
                Err(error)
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) =>
                {
                    0
                }
                Err(error) => return Err(error),
            };
            loop {
                let State { way, over, .. } = self.now();
                match way {
                    _ if over => return Ok(()),
                    Way::Cut => return Ok(()),
                    Way::Open => break,
                    Way::Slow(_) if count == 0 => break,
                    Way::Slow(by) => {
                        std::thread::sleep(by);
                        break;
                    }
                    Way::Silent => std::thread::sleep(LOOK),
                }
            }
            to.write_all(&piece[..count])?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server that says everything back.
    fn echo() -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
        let address = listener.local_addr().expect("an address");
        std::thread::spawn(move || {
            for client in listener.incoming().take(2).flatten() {
                std::thread::spawn(move || std::io::copy(&mut &client, &mut &client));
            }
        });
        address
    }

    #[test]
    fn what_is_kept_back_comes_later_and_what_is_cut_off_does_not() {
        let proxy = Proxy::listen();
        proxy.pass_on_to(echo());
        let mut client = TcpStream::connect(proxy.address()).expect("a connection");
        let mut answer = [0; 2];
        client.write_all(b"hi").expect("sent");
        client.read_exact(&mut answer).expect("an answer");
        assert_eq!(&answer, b"hi");
        proxy.becomes(Way::Silent);
        client.write_all(b"ho").expect("sent");
        client.set_read_timeout(Some(LOOK * 5)).expect("set");
        assert!(client.read(&mut answer).is_err(), "nothing comes");
        proxy.becomes(Way::Open);
        client.set_read_timeout(None).expect("set");
        client.read_exact(&mut answer).expect("an answer");
        assert_eq!(&answer, b"ho");
        proxy.becomes(Way::Cut);
        assert!(matches!(client.read(&mut answer), Ok(0) | Err(_)), "closed");
        let mut another = TcpStream::connect(proxy.address()).expect("a connection");
        assert!(
            matches!(another.read(&mut answer), Ok(0) | Err(_)),
            "closed"
        );
    }
}
