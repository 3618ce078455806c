//! Sample values for every page: ordinary ones, empty ones, and what somebody hostile would enter.

use group::daemon::KnownBy;
use group::model::{
    Approval, Ended, Named, Policies, RequestId, RequestState, Role, TokenId, UserId, What,
};
use group::store::session::ApiTokenView;
use group::view::{
    AuditView, GroupSummary, GroupView, MemberView, NodeView, RequestView, RevocationView,
    StandingView, TokenView, UserView,
};
use group::web::form::CsrfToken;
use group::web::page::{Frame, Said};
use group::web::pages::access::Attempt;
use group::web::pages::audit::Filter;
use group::web::pages::create::Plan;
use group::web::pages::device::Waiting;
use group::web::pages::group::{Draft, Overview, Walked};
use group::web::pages::revocations::Progress;
use group::web::pages::{
    access, account, audit, create, device, failure, group as group_pages, home, members, node,
    requests, revocations, settings, tokens,
};
use group::web::ring::{Path, Ring, Spot};
use pki::{NodeId, Serial, UnixTime};

const NOW: UnixTime = UnixTime(1_795_628_358);
const HOUR: u64 = 3600;
const DAY: u64 = 24 * HOUR;
const HOSTILE: &str = "\"><script>alert('x')</script> & </textarea>";
const URL: &str = "https://vpn.example.org";
const PIN: &str = "sha256:4f5e6d7c8b9a0f1e2d3c4b5a69788796a5b4c3d2e1f00f1e2d3c4b5a69788796";

/// All pages with their names.
pub fn pages() -> Vec<(&'static str, String)> {
    let (frame, nobody) = (frame(Some("ana")), frame(None));
    let mut pages = for_strangers(&nobody);
    pages.extend(for_users(&frame));
    pages.extend(of_a_group(&frame));
    pages.extend(of_people(&frame));
    pages.extend(of_the_rest(&frame));
    pages.into_iter().map(|(name, page)| (name, page.into_string())).collect()
}

type Pages = Vec<(&'static str, maud::Markup)>;

fn for_strangers(frame: &Frame) -> Pages {
    let refused = Attempt {
        name: "ana".to_owned(),
        error: Some("User name or password is wrong.".to_owned()),
        next: Some("/groups/team?x=1&y".to_owned()),
        ..Attempt::default()
    };
    let hostile = Attempt {
        name: HOSTILE.to_owned(),
        email: HOSTILE.to_owned(),
        next: Some(HOSTILE.to_owned()),
        error: Some(HOSTILE.to_owned()),
    };
    vec![
        ("log-in", access::log_in(frame, &Attempt::default(), Some("Example Corp"))),
        ("log-in-refused", access::log_in(frame, &refused, None)),
        ("sign-up", access::sign_up(frame, &Attempt::default())),
        ("sign-up-hostile", access::sign_up(frame, &hostile)),
        (
            "failure",
            failure::failure(frame, 404, "Look at the address, or start from your groups."),
        ),
    ]
}

fn for_users(frame: &Frame) -> Pages {
    let welcome = Frame { said: Some(Said::SignedUp), ..frame.clone() };
    let waiting = request(RequestState::Pending, "build");
    let denied = request(RequestState::Denied, "lab");
    let groups = [
        summary("team", StandingView::Administrator, 3),
        summary("build-farm-of-the-northern-office", StandingView::Member, 0),
    ];
    let plan = Plan {
        name: String::new(),
        subnet: "10.42.0.0/16".to_owned(),
        policies: Policies::default(),
    };
    let draft = Draft { reason: HOSTILE.to_owned(), error: Some("Too long.".to_owned()) };
    let asked = [waiting.clone(), denied.clone()];
    vec![
        ("home", home::home(frame, &groups, &asked, None)),
        ("home-empty", home::home(&welcome, &[], &[], None)),
        ("create", create::create(frame, &plan, None)),
        ("create-refused", create::create(frame, &plan, Some("the name is taken; choose another"))),
        ("ask", group_pages::outside(frame, "build", None, &Draft::default())),
        ("ask-hostile", group_pages::outside(frame, HOSTILE, None, &draft)),
        ("ask-waiting", group_pages::outside(frame, "build", Some(&waiting), &Draft::default())),
        ("ask-denied", group_pages::outside(frame, "lab", Some(&denied), &Draft::default())),
    ]
}

fn of_a_group(frame: &Frame) -> Pages {
    let (group, fresh) = (group(StandingView::Administrator), self::group(StandingView::Member));
    let nodes: Vec<NodeView> = (0..9).map(node_view).collect();
    let (small, large) = (ring(9), ring(100));
    let overview = Overview {
        group: &group,
        url: URL,
        pin: Some(PIN),
        ring: &small,
        walked: Some(Walked { at: before(3), nodes: 7 }),
        find: None,
        nodes: &nodes,
        older: Some("/groups/team?after=x"),
    };
    let crowded = Overview { ring: &large, ..overview.clone() };
    let crowded_20 = ring(22);
    let named = Overview { ring: &crowded_20, ..overview.clone() };
    let empty_ring = Ring::default();
    let empty = Overview {
        group: &fresh,
        walked: Some(Walked { at: before(3), nodes: 1 }),
        find: None,
        ring: &empty_ring,
        nodes: &[],
        older: None,
        url: URL,
        pin: None,
    };
    let blind = Overview { walked: None, ring: &small, ..empty.clone() };
    let found =
        Overview { find: Some("10.42.2.23"), nodes: &nodes[2..3], older: None, ..overview.clone() };
    let unknown = Overview { find: Some(HOSTILE), nodes: &[], ..found.clone() };
    vec![
        ("group", group_pages::overview(frame, &overview)),
        ("group-22", group_pages::overview(frame, &named)),
        ("group-100", group_pages::overview(frame, &crowded)),
        ("group-empty", group_pages::overview(frame, &empty)),
        ("group-found", group_pages::overview(frame, &found)),
        ("group-not-found", group_pages::overview(frame, &unknown)),
        ("group-blind", group_pages::overview(frame, &blind)),
        ("node", node::node(frame, &group, &nodes[0], true)),
        ("node-revoked", node::node(frame, &group, &nodes[7], false)),
        ("settings", settings::settings(frame, &group, &group.policies, None)),
        (
            "settings-refused",
            settings::settings(
                frame,
                &group,
                &group.policies,
                Some("quota must be 1 to 1000 nodes"),
            ),
        ),
        ("delete", settings::delete(frame, &group, Some("That is not the name."))),
    ]
}

fn of_people(frame: &Frame) -> Pages {
    let group = group(StandingView::Administrator);
    let list: Vec<MemberView> = ["ana", "ben", "cleo", "dora-the-administrator-of-everything"]
        .iter()
        .zip(1i64..)
        .map(|(name, id)| MemberView {
            user: named(name, id),
            role: if id % 2 == 1 { Role::Administrator } else { Role::Member },
            since: before(id.unsigned_abs() * 40 * DAY),
            nodes: 3,
        })
        .collect();
    let waiting = [
        request(RequestState::Pending, "team"),
        RequestView {
            id: RequestId(9),
            user: named("eve", 12),
            reason: HOSTILE.repeat(8),
            ..request(RequestState::Pending, "team")
        },
    ];
    let decided = [request(RequestState::Approved, "team"), request(RequestState::Denied, "team")];
    let tokens: Vec<TokenView> = (0..4).map(token).collect();
    vec![
        ("members", members::members(frame, &group, UserId(1), &list, None)),
        ("member-demote", members::demote(frame, &group, &list[2])),
        ("member-remove", members::remove(frame, &group, &list[1])),
        ("leave", members::leave(frame, &group)),
        ("requests", requests::requests(frame, &group, &waiting, &decided, None)),
        ("requests-empty", requests::requests(frame, &group, &[], &[], None)),
        ("tokens", tokens::tokens(frame, &group, &tokens, None)),
        ("tokens-empty", tokens::tokens(frame, &group, &[], None)),
        ("token-end", tokens::end_token(frame, &group, &tokens[0])),
    ]
}

fn of_the_rest(frame: &Frame) -> Pages {
    let group = group(StandingView::Administrator);
    let (one, user) = (revocation(), user());
    let counted = |acknowledged, seconds| {
        let last_at = Some(before(seconds).as_secs());
        Progress::Counted(KnownBy { live: 50, acknowledged, last_at, complete: true })
    };
    let (under_way, done) = (counted(38, 1), counted(50, 14));
    let id = node_view(1).node.to_string();
    let kinds = ["asked", "member_joined", "certificate_issued"];
    let api = ApiTokenView {
        id: 4,
        label: "backup script".to_owned(),
        created: before(40 * DAY),
        expires: UnixTime(NOW.as_secs() + 50 * DAY),
        last_used: Some(before(3 * HOUR)),
    };
    let machine =
        Waiting { code: "BDWX-KMPT", group: "team", host: Some("ana-laptop"), asks_to_join: false };
    let foreign = Waiting { asks_to_join: true, host: None, ..machine.clone() };
    vec![
        ("revocations", revocations::revocations(frame, &group, std::slice::from_ref(&one), None)),
        ("revocations-empty", revocations::revocations(frame, &group, &[], None)),
        ("revocation-under-way", revocations::revocation(frame, &group, &one, under_way)),
        ("revocation-done", revocations::revocation(frame, &group, &one, done)),
        ("revocation-blind", revocations::revocation(frame, &group, &one, Progress::Unwatched)),
        ("revocation-counting", revocations::revocation(frame, &group, &one, Progress::Counting)),
        ("revoke", revocations::revoke(frame, &group, ("node", &id), "ben-nas")),
        ("audit", audit::audit(frame, &group, &Filter::default(), &kinds, &events(), None)),
        ("audit-empty", audit::audit(frame, &group, &Filter::default(), &kinds, &[], None)),
        ("account", account::account(frame, &user, std::slice::from_ref(&api), None)),
        (
            "account-refused",
            account::account(frame, &user, &[], Some("The present password is wrong.")),
        ),
        (
            "api-token",
            account::made(
                frame,
                "backup script",
                "wa1_0123456789abcdefghijklmnopqrstuvwxyzABCDEFG",
            ),
        ),
        ("api-token-end", account::end_token(frame, &api)),
        (
            "device",
            device::enter(frame, "", Some("No machine shows that code now. Start again there.")),
        ),
        ("device-confirm", device::confirm(frame, &machine)),
        ("device-outside", device::confirm(frame, &foreign)),
    ]
}

fn frame(visitor: Option<&str>) -> Frame {
    Frame {
        visitor: visitor.map(str::to_owned),
        csrf: CsrfToken("sample-proof".to_owned()),
        now: NOW,
        said: None,
        refresh: None,
    }
}

fn before(seconds: u64) -> UnixTime {
    UnixTime(NOW.as_secs() - seconds)
}

fn named(name: &str, id: i64) -> Named {
    Named { id: UserId(id), name: name.to_owned() }
}

fn user() -> UserView {
    UserView {
        id: UserId(1),
        name: "ana".to_owned(),
        email: Some("ana@example.org".to_owned()),
        site_admin: true,
        enabled: true,
        has_password: true,
        created: before(90 * DAY),
    }
}

fn summary(name: &str, standing: StandingView, pending: u32) -> GroupSummary {
    let subnet = "10.42.0.0/16".parse().expect("a network");
    GroupSummary { name: name.to_owned(), subnet, members: 12, standing, pending }
}

fn group(standing: StandingView) -> GroupView {
    GroupView {
        summary: summary("team", standing, 2),
        policies: Policies {
            approval: Approval::AutomaticUpTo(20),
            bootstrap: vec!["boot.example.org:7415".parse().expect("an address")],
            ..Policies::default()
        },
        administrators: vec![named("ana", 1), named("cleo", 3)],
        created: before(200 * DAY),
        issuer: "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b".to_owned(),
        notices: 7,
        next_update: UnixTime(NOW.as_secs() + 3000),
    }
}

fn request(state: RequestState, group: &str) -> RequestView {
    let decided = (state != RequestState::Pending).then(|| before(2 * HOUR));
    RequestView {
        id: RequestId(4),
        group: group.to_owned(),
        user: named("ben", 2),
        reason: "I work with Ana on the build farm and need to reach the caches from home.\nMy desk is 4.117."
            .to_owned(),
        state,
        asked: before(5 * HOUR),
        decided,
        decided_by: decided.map(|_| "cleo".to_owned()),
        note: if state == RequestState::Denied { "Please ask with your work account." } else { "" }.to_owned(),
    }
}

fn token(number: i64) -> TokenView {
    TokenView {
        id: TokenId(number),
        user: named("ana", 1),
        label: ["laptop", "", "build machines", HOSTILE][number as usize].to_owned(),
        reusable: number != 1,
        ephemeral: number == 2,
        created: before(20 * DAY),
        expires: UnixTime(NOW.as_secs() + 10 * DAY),
        last_used: (number == 0).then(|| before(400)),
        ended: (number == 1).then_some(Ended::UsedUp),
    }
}

fn node_id(number: u8) -> NodeId {
    let mut bytes = [0; NodeId::LEN];
    for (place, byte) in (0u8..).zip(&mut bytes) {
        *byte =
            (number.wrapping_add(3)).wrapping_mul(97).wrapping_add(place.wrapping_mul(41)) ^ number;
    }
    NodeId::from_bytes(bytes)
}

const HOSTS: [&str; 9] = [
    "ana-laptop",
    "ana-desk",
    "ben-nas",
    "cleo-phone",
    "cache-1.build.example.org",
    "cache-2",
    "meter",
    "old-tablet",
    "gate",
];

fn node_view(number: u8) -> NodeView {
    let place = usize::from(number);
    let live = number != 6 && number != 7;
    NodeView {
        node: node_id(number),
        user: named(["ana", "ana", "ben", "cleo"][place % 4], 1),
        host: (number != 8).then(|| HOSTS[place].to_owned()),
        address: (number != 6).then(|| format!("10.42.{number}.{}", 7 * number + 9)),
        path: live.then(|| if number == 3 { "overlay" } else { "direct" }.to_owned()),
        last_seen: (number != 6).then(|| before(u64::from(number) * 700)),
        created: before(60 * DAY),
        ephemeral: number == 5,
        serial: (number != 6).then_some(Serial::from_bytes([0x40 + number; 16])),
        issued: (number != 6).then(|| before(2 * DAY)),
        not_after: (number != 6).then_some(UnixTime(NOW.as_secs() + 5 * DAY)),
        ended: (number == 7).then_some(Ended::Revoked),
    }
}

fn ring(count: u8) -> Ring {
    let nodes: Vec<Spot> = (0..count)
        .map(|number| Spot {
            id: node_id(number),
            name: HOSTS
                .get(usize::from(number))
                .map_or_else(|| format!("machine-{number}"), |h| (*h).to_owned()),
            live: number != 7,
            own: number < 2,
            href: format!("/groups/team/nodes/{}", node_id(number)),
        })
        .collect();
    let mut ids: Vec<NodeId> = nodes.iter().filter(|n| n.live).map(|n| n.id).collect();
    ids.sort();
    let at = |place: usize| ids[place % ids.len()];
    let mut paths = Vec::new();
    for place in 0..ids.len() {
        for step in [1, 2] {
            paths.push(Path { ends: [at(place), at(place + step)], direct: place != 3 });
        }
        if place % 3 == 0 {
            let far = place + ids.len() / 3 + place % 4;
            paths.push(Path { ends: [at(place), at(far)], direct: place % 4 != 0 });
        }
    }
    Ring { nodes, paths }
}

fn revocation() -> RevocationView {
    RevocationView {
        number: 7,
        what: What::Node(node_id(7)),
        reason: "Lost on the train.".to_owned(),
        by: "cleo".to_owned(),
        at: before(30),
        victims: vec![node_id(7)],
        announced: Some(before(29)),
    }
}

fn events() -> Vec<AuditView> {
    let entry = |number, event: &str, details| AuditView {
        number,
        at: before(400 * number.unsigned_abs()),
        actor: "ana".to_owned(),
        source: "192.0.2.0/24".to_owned(),
        event: event.to_owned(),
        details,
    };
    vec![
        entry(
            1,
            "revoked",
            serde_json::json!({
                "event": "revoked", "notice": 7, "node": node_id(7), "reason": HOSTILE, "victims": [node_id(7)],
            }),
        ),
        entry(
            2,
            "certificate_issued",
            serde_json::json!({
                "event": "certificate_issued", "serial": Serial::from_bytes([0x41; 16]), "node": node_id(2),
                "issued": NOW.as_secs(), "not_after": NOW.as_secs() + 7 * DAY,
                "user": { "id": 2, "name": "ben" }, "renewal": true,
            }),
        ),
        entry(
            3,
            "group_changed",
            serde_json::json!({
                "event": "group_changed", "policies": Policies::default(),
            }),
        ),
        entry(
            4,
            "asked",
            serde_json::json!({
                "event": "asked", "request": 4, "user": { "id": 2, "name": "ben" }, "reason": "I work with Ana.",
            }),
        ),
    ]
}
