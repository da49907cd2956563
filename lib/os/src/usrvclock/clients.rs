//! The clients, and how the places are shared among users: no user can take the places of others by having many sockets.

use dante_core::printable::printable;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::SocketAddr;

/// Maximum number of clients.
pub const MAX_CLIENTS: usize = 64;
/// First subordinate user id (SUB_UID_MIN of login.defs(5)): users get such ids in blocks, for containers (newuidmap(1)).
const SUBORDINATE: u32 = 100_000;
/// Number of subordinate ids of one user (SUB_UID_COUNT).
const BLOCK: u32 = 65_536;
/// Longest name of a client in a log line, characters.
const LONGEST_NAME: usize = 64;

#[derive(Debug)]
pub(super) struct Client {
    pub address: SocketAddr,
    pub failed_in_a_row: u32,
    uid: u32,
}

/// What a registration leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Admission {
    /// The client was registered already.
    Known(usize),
    New(usize),
    /// The client got the place of another user's newest client.
    Replaced {
        place: usize,
        uid: u32,
    },
    Rejected,
}

/// The clients, in the order of their registration.
#[derive(Debug, Default)]
pub(super) struct Clients(Vec<Client>);

impl Clients {
    /// Admits a client of this user. If all places are taken, a user with at least two clients less than the user with the most
    /// gets the place of that user's newest client.
    pub fn admit(&mut self, address: SocketAddr, uid: u32) -> Admission {
        match self.0.iter().position(|client| is_same(&client.address, &address)) {
            Some(place) if self.0.get(place).is_some_and(|client| share_of(client.uid) == share_of(uid)) => {
                return Admission::Known(place);
            }
            // The name now belongs to a socket of another user.
            Some(place) => self.remove(place),
            None => {}
        }
        let replaced = if self.0.len() < MAX_CLIENTS {
            None
        } else {
            let most = self.0.iter().rposition(|client| self.count(client.uid) == self.largest_count());
            let most = most.and_then(|place| Some((place, self.0.get(place)?.uid)));
            match most {
                Some((place, most)) if self.count(most) >= self.count(uid) + 2 => Some((place, most)),
                _ => return Admission::Rejected,
            }
        };
        if let Some((place, _)) = replaced {
            self.remove(place);
        }
        self.0.push(Client { address, failed_in_a_row: 0, uid });
        let place = self.0.len() - 1;
        replaced.map_or(Admission::New(place), |(_, uid)| Admission::Replaced { place, uid })
    }

    fn count(&self, uid: u32) -> usize {
        self.0.iter().filter(|client| share_of(client.uid) == share_of(uid)).count()
    }

    fn largest_count(&self) -> usize {
        self.0.iter().map(|client| self.count(client.uid)).max().unwrap_or(0)
    }

    pub fn get_mut(&mut self, place: usize) -> Option<&mut Client> {
        self.0.get_mut(place)
    }

    /// Removes the client at this place, if there is one.
    pub fn remove(&mut self, place: usize) {
        if place < self.0.len() {
            self.0.remove(place);
        }
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }
}

/// The user, or the first id of a block of subordinate ids: with these one user can appear as many.
fn share_of(uid: u32) -> u32 {
    uid.checked_sub(SUBORDINATE).map_or(uid, |above| SUBORDINATE + above / BLOCK * BLOCK)
}

fn is_same(one: &SocketAddr, other: &SocketAddr) -> bool {
    one.as_pathname() == other.as_pathname() && one.as_abstract_name() == other.as_abstract_name()
}

/// Name of a client's socket for the log: escaped and shortened, as the client chooses it.
pub(super) fn name_of_client(address: &SocketAddr) -> String {
    let name = match (address.as_pathname(), address.as_abstract_name()) {
        (Some(path), _) => path.to_string_lossy().into_owned(),
        (None, Some(name)) => format!("@{}", String::from_utf8_lossy(name)),
        (None, None) => return "without a name".into(),
    };
    let name = printable(&name);
    match name.char_indices().nth(LONGEST_NAME) {
        Some((end, _)) => format!("{}...", name.get(..end).unwrap_or_default()),
        None => name.into_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(name: &str) -> SocketAddr {
        SocketAddr::from_abstract_name(name).unwrap()
    }

    /// Registers `count` clients of a user, and returns how many were admitted.
    fn register(clients: &mut Clients, uid: u32, count: usize) -> usize {
        let admitted = (0..count).map(|n| clients.admit(address(&format!("{uid}-{n}")), uid));
        admitted.filter(|admission| *admission != Admission::Rejected).count()
    }

    #[test]
    fn user_with_many_clients_does_not_exclude_others() {
        let mut clients = Clients::default();
        assert_eq!(register(&mut clients, 1000, 100), MAX_CLIENTS);
        assert_eq!(register(&mut clients, 1001, 100), 32, "half of the places");
        assert_eq!((clients.count(1000), clients.count(1001)), (32, 32));
        // The oldest clients of a user keep their places.
        let mut kept = clients.0.iter().filter(|client| client.uid == 1000);
        assert!((0..32).all(|n| is_same(&kept.next().unwrap().address, &address(&format!("1000-{n}")))));
        for uid in 2000..2010 {
            assert_eq!(register(&mut clients, uid, 1), 1, "user {uid}");
        }
        assert_eq!(
            register(&mut clients, 1000, 100),
            27,
            "known clients stay known, and no place is taken back"
        );
    }

    #[test]
    fn subordinate_ids_of_a_user_share_the_places_of_one_user() {
        let mut clients = Clients::default();
        for uid in 100_000..100_100 {
            register(&mut clients, uid, 1);
        }
        assert_eq!((clients.len(), clients.count(165_535)), (MAX_CLIENTS, MAX_CLIENTS));
        assert_eq!(clients.count(165_536), 0);
        assert_eq!(register(&mut clients, 1000, 1), 1);
        assert_eq!(
            [99_999, 100_000, 165_535, 165_536, u32::MAX].map(share_of),
            [99_999, 100_000, 100_000, 165_536, 4_294_936_224]
        );
    }

    #[test]
    fn name_that_another_user_binds_is_a_new_client() {
        let mut clients = Clients::default();
        assert_eq!(clients.admit(address("a"), 1), Admission::New(0));
        assert_eq!(clients.admit(address("a"), 1), Admission::Known(0));
        assert_eq!(clients.admit(address("a"), 2), Admission::New(0));
        assert_eq!((clients.count(1), clients.count(2)), (0, 1));
    }

    #[test]
    fn names_of_clients_are_escaped_and_short() {
        assert_eq!(name_of_client(&address("x\x1b[2J\ny")), r"@x\u{1b}[2J\ny");
        let long = name_of_client(&address(&"é".repeat(53)));
        assert_eq!(long, format!("@{}", "é".repeat(53)));
        let long = name_of_client(&address(&"\x1b".repeat(90)));
        assert_eq!((long.chars().count(), long.ends_with("...")), (67, true));
        assert!(name_of_client(&SocketAddr::from_pathname("/tmp/a\r").unwrap()).ends_with(r"\r"));
    }
}
