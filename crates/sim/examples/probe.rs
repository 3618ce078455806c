use std::time::Duration;
use warren_sim::{latency::DelayMatrix, population::Population, world::*};
fn main() {
    let n: usize = std::env::args().nth(1).unwrap().parse().unwrap();
    let secs: u64 = std::env::args().nth(2).unwrap().parse().unwrap();
    let mut w = World::new(WorldConfig::new(1, DelayMatrix::king_like(n, 1)));
    let hosts = Population::new(n).settle(&mut w);
    w.run_for(Duration::from_secs(secs));
    let a: Vec<_> = hosts.iter().map(|&h| w.traffic(h)).collect();
    let e = w.events();
    w.run_for(Duration::from_secs(20));
    println!("events {}", w.events() - e);
    for &h in hosts.iter().take(4) {
        let (t, b) = (w.traffic(h).sent, a[h.index()].sent);
        println!("{h:?} probes {:?} hs {:?} frames {:?}", t.probes - b.probes, t.handshakes - b.handshakes, t.frames - b.frames);
        let node = w.node(h).unwrap();
        println!("   {:?}", node.counters());
        println!("   ev {} {:?}", w.events_of(h).len(), w.events_of(h).iter().rev().take(5).collect::<Vec<_>>());
        for p in node.peers(w.now()) { println!("   {:?} {:?} {:?} rtt {:?} age {:?} silent {:?}", p.id, p.path, p.purposes, p.rtt, p.age, p.silent); }
    }
}
