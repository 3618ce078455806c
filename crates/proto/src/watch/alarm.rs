//! The announcer's side: writes the notice, finds the subscribers, tells each of them.
//!
//! Subscribers are told as they are found, while the table still looks for more, and read once more when the
//! notice is stored. Nobody confirms: a member on the way could forge that, and the victim is on the way of
//! some. Each subscriber is told three times instead. Those who could be reached have ended their links with
//! the victim meanwhile, so that the next message to the others goes another way.

use super::{Context, Effect, Question, Timer, Watch, ask};
use crate::NodeId;
use crate::bounds::Fill;
use crate::time::Instant;
use std::collections::BTreeMap;
use std::time::Duration;

/// Victims at most whose subscribers are being told; of more, only the other carriers tell.
const ALARMS_MAX: usize = 64;
/// Of these, those for whom the table is asked at a time: two questions each.
const RUNNING_MAX: usize = 8;
/// Subscribers told of one victim, as many as a read gives.
const TOLD_MAX: usize = 1_024;
/// How often each is told, and the pause between: two round trips of a long way.
const TELL_TIMES: u8 = 3;
pub(super) const TELL_PAUSE: Duration = Duration::from_millis(400);
/// Messages sent at a time, and the pause after them: 1 KB each, so 20 Mbit/s at most.
const BATCH: usize = 64;
const BATCH_PAUSE: Duration = Duration::from_millis(25);

#[derive(Debug)]
struct Told {
    times: u8,
    next: Instant,
}

/// One victim.
#[derive(Debug)]
struct Alarm {
    notice: Vec<u8>,
    message: Vec<u8>,
    told: BTreeMap<NodeId, Told>,
    /// Questions to the table without answer; none before its turn has come.
    open: Option<u8>,
}

impl Alarm {
    fn is_over(&self) -> bool {
        self.open == Some(0) && self.told.values().all(|told| told.times >= TELL_TIMES)
    }
}

/// The victims whose subscribers are being told.
#[derive(Debug, Default)]
pub(super) struct Alarms(BTreeMap<NodeId, Alarm>);

impl Alarms {
    pub(super) fn fills(&self) -> [Fill; 2] {
        let told = self.0.values().map(|alarm| alarm.told.len()).max().unwrap_or(0);
        [
            Fill::new("victims announced", self.0.len(), ALARMS_MAX),
            Fill::new("subscribers told of a victim", told, TOLD_MAX),
        ]
    }
}

impl Watch {
    /// Tells who wants to hear of it that a victim is out by this notice. `message` is the list of notices for
    /// them: it may hold others before, for those who lack them.
    pub fn raise(
        &mut self,
        victim: NodeId,
        notice: Vec<u8>,
        message: Vec<u8>,
        cx: &mut Context<'_>,
    ) {
        let alarms = &mut self.alarms.0;
        if alarms.len() < ALARMS_MAX && victim != self.me {
            let alarm = Alarm { notice, message, told: BTreeMap::new(), open: None };
            alarms.entry(victim).or_insert(alarm);
        }
        self.run_alarms(cx);
    }

    /// The table has found somebody who wants to hear of a victim.
    pub(super) fn tell(&mut self, victim: NodeId, subscriber: NodeId, cx: &mut Context<'_>) {
        let Some(alarm) = self.alarms.0.get_mut(&victim) else { return };
        let is_new = !alarm.told.contains_key(&subscriber) && alarm.told.len() < TOLD_MAX;
        if is_new && subscriber != self.me && subscriber != victim {
            alarm.told.insert(subscriber, Told { times: 0, next: cx.now });
            self.timers.set_earlier(Timer::Alarm(victim), cx.now);
        }
    }

    /// The notice is written, or cannot be; who subscribed meanwhile is seen by another read.
    pub(super) fn published(&mut self, victim: NodeId, cx: &mut Context<'_>) {
        if self.alarms.0.contains_key(&victim) {
            cx.effects.push(ask(Question::Subscribers(victim)));
        }
    }

    pub(super) fn have_read(&mut self, victim: NodeId, cx: &mut Context<'_>) {
        if let Some(alarm) = self.alarms.0.get_mut(&victim) {
            alarm.open = alarm.open.map(|open| open.saturating_sub(1));
        }
        self.end_alarms(cx);
    }

    /// Tells those whose turn it is.
    pub(super) fn repeat(&mut self, victim: NodeId, cx: &mut Context<'_>) {
        let Some(alarm) = self.alarms.0.get_mut(&victim) else { return };
        let waiting = alarm.told.iter_mut().filter(|(_, told)| told.times < TELL_TIMES);
        for (&node, told) in waiting.filter(|(_, told)| told.next <= cx.now).take(BATCH) {
            (told.times, told.next) = (told.times + 1, cx.now + TELL_PAUSE);
            cx.effects.push(Effect::Notify { node, message: alarm.message.clone() });
        }
        let waiting = alarm.told.values().filter(|told| told.times < TELL_TIMES);
        if let Some(next) = waiting.map(|told| told.next).min() {
            self.timers.set(Timer::Alarm(victim), next.max(cx.now + BATCH_PAUSE));
        }
        self.end_alarms(cx);
    }

    fn end_alarms(&mut self, cx: &mut Context<'_>) {
        self.alarms.0.retain(|_, alarm| !alarm.is_over());
        self.run_alarms(cx);
    }

    fn run_alarms(&mut self, cx: &mut Context<'_>) {
        let running = self.alarms.0.values().filter(|alarm| alarm.open.is_some()).count();
        let waiting = self.alarms.0.iter_mut().filter(|(_, alarm)| alarm.open.is_none());
        for (&victim, alarm) in waiting.take(RUNNING_MAX.saturating_sub(running)) {
            alarm.open = Some(2);
            let payload = alarm.notice.clone();
            cx.effects.push(Effect::Ask { question: Question::Publish(victim), payload });
            cx.effects.push(ask(Question::Subscribers(victim)));
        }
    }
}
