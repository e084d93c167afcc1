//! The service graph: who calls whom. Trouble spreads from callee to caller.
//!
//! Owns declared services and edges learnt from traces, and directed walks over both, bounded in
//! hops and in services visited. Services that no path connects within the bound have no
//! distance: they tie nothing, and nothing is infinite.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde::{Deserialize, Serialize};

/// The service graph as a person writes it (YAML or JSON).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TopologyFile {
    /// Services.
    pub services: Vec<ServiceSpec>,
}

/// One service of a [`TopologyFile`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServiceSpec {
    /// Name, as the service labels of alerts carry it.
    pub name: String,
    /// Who owns it; empty where nobody is named.
    #[serde(default)]
    pub owner: String,
    /// 1 is the most critical; `None` where not judged.
    #[serde(default)]
    pub tier: Option<u8>,
    /// Services that it calls.
    #[serde(default)]
    pub depends_on: Vec<String>,
}

/// The service graph.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Topology {
    services: BTreeMap<String, Service>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Service {
    owner: String,
    tier: Option<u8>,
    calls: BTreeSet<String>,
    called_by: BTreeSet<String>,
}

/// Services that a walk reached, with their distance in calls; the start is there with 0.
pub type Reach<'a> = BTreeMap<&'a str, u32>;

/// What became of an edge that was observed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Observed {
    /// The graph has grown.
    New,
    /// Nothing new, or nothing that makes an edge (an empty name, a service that calls itself).
    Known,
    /// The graph is full.
    Refused,
}

impl Topology {
    /// The declared graph.
    pub fn new(file: &TopologyFile) -> Self {
        let mut graph = Self::default();
        for spec in &file.services {
            let service = graph.services.entry(spec.name.clone()).or_default();
            service.owner.clone_from(&spec.owner);
            service.tier = spec.tier;
            for callee in &spec.depends_on {
                graph.connect(&spec.name, callee);
            }
        }
        graph
    }

    /// Learns that `client` calls `server`, as long as the graph has at most `max_services`.
    pub fn observe_edge(&mut self, client: &str, server: &str, max_services: usize) -> Observed {
        if client.is_empty() || server.is_empty() || client == server {
            return Observed::Known;
        }
        if self
            .services
            .get(client)
            .is_some_and(|service| service.calls.contains(server))
        {
            return Observed::Known;
        }
        let unknown = [client, server]
            .iter()
            .filter(|name| !self.services.contains_key(**name))
            .count();
        if self.services.len() + unknown > max_services {
            return Observed::Refused;
        }
        self.connect(client, server);
        Observed::New
    }

    fn connect(&mut self, client: &str, server: &str) {
        if client != server {
            self.services
                .entry(client.to_owned())
                .or_default()
                .calls
                .insert(server.to_owned());
            self.services
                .entry(server.to_owned())
                .or_default()
                .called_by
                .insert(client.to_owned());
        }
    }

    /// Number of services.
    pub fn len(&self) -> usize {
        self.services.len()
    }

    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        self.services.is_empty()
    }

    /// Owner of a service; empty where unknown.
    pub fn owner(&self, service: &str) -> &str {
        self.services.get(service).map_or("", |known| &known.owner)
    }

    /// Tier of a service.
    pub fn tier(&self, service: &str) -> Option<u8> {
        self.services.get(service).and_then(|known| known.tier)
    }

    /// What `service` depends on, itself included, within `max_hops` calls and `max_services`.
    pub fn callees<'a>(
        &'a self,
        service: &'a str,
        max_hops: u32,
        max_services: usize,
    ) -> Reach<'a> {
        self.walk(service, max_hops, max_services, |known| &known.calls)
    }

    /// What depends on `service`, itself included, within `max_hops` calls and `max_services`.
    pub fn callers<'a>(
        &'a self,
        service: &'a str,
        max_hops: u32,
        max_services: usize,
    ) -> Reach<'a> {
        self.walk(service, max_hops, max_services, |known| &known.called_by)
    }

    /// Calls from `caller` down to `callee`; `None` where no path of at most `max_hops` leads
    /// there.
    pub fn distance(&self, caller: &str, callee: &str, max_hops: u32) -> Option<u32> {
        self.callees(caller, max_hops, usize::MAX)
            .get(callee)
            .copied()
    }

    /// Breadth first, neighbours in name order: the same cut under the same bound, always.
    fn walk<'a>(
        &'a self,
        start: &'a str,
        max_hops: u32,
        max_services: usize,
        next: impl Fn(&'a Service) -> &'a BTreeSet<String>,
    ) -> Reach<'a> {
        let mut reach = Reach::new();
        if start.is_empty() {
            return reach;
        }
        reach.insert(start, 0);
        let mut queue = VecDeque::from([(start, 0)]);
        while let Some((name, hops)) = queue.pop_front() {
            let Some(service) = self.services.get(name).filter(|_| hops < max_hops) else {
                continue;
            };
            for neighbour in next(service) {
                if reach.len() >= max_services {
                    return reach;
                }
                if !reach.contains_key(neighbour.as_str()) {
                    reach.insert(neighbour, hops + 1);
                    queue.push_back((neighbour, hops + 1));
                }
            }
        }
        reach
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shop() -> Topology {
        let spec = |name: &str, depends_on: &[&str]| ServiceSpec {
            name: name.to_owned(),
            depends_on: depends_on
                .iter()
                .map(|callee| (*callee).to_owned())
                .collect(),
            ..ServiceSpec::default()
        };
        let services = vec![
            spec("web", &["checkout", "search"]),
            spec("checkout", &["payments"]),
        ];
        Topology::new(&TopologyFile { services })
    }

    fn check(caller: &str, callee: &str, max_hops: u32, expect: Option<u32>) {
        assert_eq!(
            shop().distance(caller, callee, max_hops),
            expect,
            "{caller} to {callee}"
        );
    }

    #[test]
    fn distance_is_directed_and_bounded() {
        check("web", "payments", 3, Some(2));
        check("web", "payments", 1, None);
        check("payments", "web", 3, None);
        check("search", "payments", 3, None);
        check("nowhere", "nowhere", 3, Some(0));
    }

    #[test]
    fn learnt_edges_count_and_are_bounded() {
        let mut graph = shop();
        assert_eq!(graph.observe_edge("payments", "ledger", 5), Observed::New);
        assert_eq!(graph.observe_edge("payments", "ledger", 5), Observed::Known);
        assert_eq!(graph.observe_edge("ledger", "disk", 5), Observed::Refused);
        assert_eq!(graph.observe_edge("ledger", "search", 5), Observed::New);
        assert_eq!(graph.distance("web", "ledger", 3), Some(3));
    }

    #[test]
    fn a_walk_ends_at_its_bound_and_in_cycles() {
        let mut graph = shop();
        graph.observe_edge("payments", "web", 9);
        assert_eq!(graph.callees("web", 9, 9).len(), 4);
        assert_eq!(graph.callees("web", 9, 2).len(), 2);
    }
}
