//! What the demo's crowd says and reads: some groups, a message now and then, some of them sent twice, and
//! people who look into their inboxes and say how far they have read.

use crate::http::timeline::sync::SyncPage;

/// Users of a group, about; everybody is in one or two.
const GROUP_USERS: usize = 10;
/// Groups that are made within a second.
const GROUPS_AT_ONCE: usize = 50;
/// One in so many users is to say something within a second, and another one looks; at least one, and however
/// large the crowd, no more than the second number.
const ONE_IN: usize = 20;
const AT_ONCE_MAX: usize = 50;
const TEXTS: [&str; 6] =
    ["who is there?", "on my way", "look at this", "five minutes", "see you tomorrow", "ok"];

pub struct Chat {
    random: fastrand::Rng,
    epoch_ms: i64,
    users: usize,
    /// Groups that are made already.
    made: usize,
    said: u64,
    /// Sent once, and to be sent again: their senders have not heard that they were accepted.
    again: Vec<String>,
}

impl Chat {
    pub fn new(users: u32, seed: u64, epoch_ms: i64) -> Self {
        let random = fastrand::Rng::with_seed(seed);
        Self { random, epoch_ms, users: users as usize, made: 0, said: 0, again: Vec::new() }
    }

    /// What is sent within a second, by those who are there.
    pub fn turn(&mut self, is_there: impl Fn(usize) -> bool) -> Vec<String> {
        let mut values = std::mem::take(&mut self.again);
        let groups = self.groups();
        let made = self.made..groups.min(self.made + GROUPS_AT_ONCE);
        self.made = made.end;
        values.extend(made.map(|group| self.joining(group)));
        for _ in 0..self.at_once() {
            let index = self.random.usize(..self.users);
            if is_there(index) {
                let value = self.message(index);
                if self.random.u8(..8) == 0 {
                    self.again.push(value.clone());
                }
                values.push(value);
            }
        }
        values
    }

    /// Who looks into the inbox within a second.
    pub fn readers(&mut self) -> Vec<String> {
        (0..self.at_once()).map(|_| user(self.random.usize(..self.users))).collect()
    }

    fn at_once(&self) -> usize {
        self.users.div_ceil(ONE_IN).min(AT_ONCE_MAX)
    }

    fn groups(&self) -> usize {
        self.users.div_ceil(GROUP_USERS)
    }

    fn groups_of(&self, index: usize) -> [usize; 2] {
        [index % self.groups(), index / 2 % self.groups()]
    }

    fn joining(&self, group: usize) -> String {
        let members = (0..self.users).filter(|index| self.groups_of(*index).contains(&group));
        let members: Vec<String> = members.map(user).collect();
        let by = user(group);
        format!(
            "{{\"v\":1,\"type\":\"members\",\"conversation\":\"group/demo-{group}\",\"by\":\"{by}\",\
             \"client_id\":\"join-{}\",\"add\":{members:?}}}",
            self.epoch_ms
        )
    }

    fn message(&mut self, index: usize) -> String {
        let sender = user(index);
        let conversation = match self.random.u8(..4) {
            0 => {
                let other = user((index + 1) % self.users);
                format!("direct/{}/{}", (&sender).min(&other), (&sender).max(&other))
            }
            number => format!("group/demo-{}", self.groups_of(index)[usize::from(number % 2)]),
        };
        self.said += 1;
        let text = TEXTS[self.random.usize(..TEXTS.len())];
        format!(
            "{{\"v\":1,\"type\":\"message\",\"conversation\":\"{conversation}\",\"sender\":\"{sender}\",\
             \"client_id\":\"c-{}-{}\",\"session\":\"s-1\",\"body\":{{\"text\":\"{text}\"}}}}",
            self.epoch_ms, self.said
        )
    }
}

/// What a user says who has read this page; nothing where there is nothing new.
pub fn receipt(user: &str, page: &SyncPage) -> Option<String> {
    let last = page.entries.last()?;
    let (inbox, conversation) = (page.last_seq, &last.conversation);
    let seq = last.conversation_seq?;
    Some(format!(
        "{{\"v\":1,\"type\":\"read\",\"user\":\"{user}\",\"inbox\":{inbox},\
         \"conversation\":\"{conversation}\",\"seq\":{seq}}}"
    ))
}

fn user(index: usize) -> String {
    format!("user-{}", index + 1)
}

#[cfg(test)]
mod tests;
