//! The lease clock: what the partition's beacons prove of time that has passed, and the parameters they
//! announce.

use serde::{Deserialize, Serialize};

use super::session::TIME_MS_MAX;
use crate::{
    limits::BEACON_STEP_MS_MAX,
    mutant::{self, Mutant},
    processor::{RestoreError, SeenBeacon},
    record::beacon::{Beacon, Parameters},
};

/// The rules that this build follows.
pub(super) const FOLD_VERSION: u32 = 1;
const RESUME_VERSION: u32 = 1;

/// What the partition's beacons said so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LeaseClock {
    pub now_ms: i64,
    pub beacon: Option<SeenBeacon>,
    /// In force are those of the last beacon folded.
    pub parameters: Parameters,
}

impl Default for LeaseClock {
    fn default() -> Self {
        Self { now_ms: 0, beacon: None, parameters: Parameters::VERSION_1 }
    }
}

impl LeaseClock {
    /// Advances by what `beacon`, appended at `time_ms`, proves: the owner's own time since the immediately
    /// preceding beacon, if that one is of the same incarnation, never more than two intervals nor than the
    /// log's time.
    pub fn advance(&mut self, beacon: &Beacon<'_>, time_ms: i64) {
        let counts = |last: &&SeenBeacon| {
            last.incarnation == *beacon.incarnation || mutant::is(Mutant::OtherIncarnationCounted)
        };
        if let Some(last) = self.beacon.as_ref().filter(counts) {
            let most_ms = time_ms.saturating_sub(last.time_ms).clamp(0, BEACON_STEP_MS_MAX);
            let step_ms = beacon.elapsed_ms.saturating_sub(last.elapsed_ms);
            let step_ms = match () {
                () if mutant::is(Mutant::BeaconStepNotCut) => step_ms.max(0),
                () if mutant::is(Mutant::BeaconStepBeyondRecordTime) => step_ms.clamp(0, BEACON_STEP_MS_MAX),
                () if mutant::is(Mutant::WallClockForLeaseClock) => (time_ms - last.time_ms).max(0),
                () => step_ms.clamp(0, most_ms),
            };
            self.now_ms = self.now_ms.saturating_add(step_ms);
        }
        let incarnation = beacon.incarnation.as_ref().to_owned();
        self.beacon = Some(SeenBeacon { incarnation, elapsed_ms: beacon.elapsed_ms, time_ms });
        if !mutant::is(Mutant::ParametersIgnored) {
            self.parameters = mutant::own_parameters().unwrap_or_else(|| beacon.parameters.clone());
        }
    }

    /// Record time of the last beacon; nothing has passed before the first.
    pub fn beacon_time_ms(&self) -> i64 {
        self.beacon.as_ref().map_or(i64::MIN, |beacon| beacon.time_ms)
    }

    /// A small text from which [`LeaseClock::from_resume`] makes the same clock.
    pub fn to_resume(&self) -> String {
        let beacon = self.beacon.as_ref().map(|seen| ResumeBeacon {
            incarnation: seen.incarnation.clone(),
            elapsed_ms: seen.elapsed_ms,
            time_ms: seen.time_ms,
        });
        let parameters = ResumeParameters::from(&self.parameters);
        let resume = Resume { v: RESUME_VERSION, clock_ms: self.now_ms, beacon, parameters };
        serde_json::to_string(&resume).unwrap_or_default()
    }

    pub fn from_resume(text: &str) -> Result<Self, RestoreError> {
        let bad = |what: &dyn std::fmt::Display| {
            RestoreError(format!(
                "the stored position of heartbeats carries a lease clock that cannot be read ({what}): \
                 it was written by a newer version or damaged; start that version, or restore a newer backup"
            ))
        };
        let resume: Resume = serde_json::from_str(text).map_err(|error| bad(&error))?;
        if resume.v != RESUME_VERSION {
            return Err(bad(&format_args!("version {}", resume.v)));
        }
        if !(0..=TIME_MS_MAX / 2).contains(&resume.clock_ms) {
            return Err(bad(&"clock out of range"));
        }
        if resume.beacon.as_ref().is_some_and(|seen| !(0..=TIME_MS_MAX).contains(&seen.time_ms)) {
            return Err(bad(&"time out of range"));
        }
        let beacon = resume.beacon.filter(|_| !mutant::is(Mutant::LastBeaconNotRestored));
        let beacon = beacon.map(|seen| SeenBeacon {
            incarnation: seen.incarnation,
            elapsed_ms: seen.elapsed_ms,
            time_ms: seen.time_ms,
        });
        let forgotten = mutant::is(Mutant::ParametersNotRestored);
        let parameters = if forgotten { Parameters::VERSION_1 } else { resume.parameters.into() };
        Ok(Self { now_ms: resume.clock_ms, beacon, parameters })
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Resume {
    v: u32,
    clock_ms: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    beacon: Option<ResumeBeacon>,
    parameters: ResumeParameters,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ResumeBeacon {
    incarnation: String,
    elapsed_ms: i64,
    time_ms: i64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ResumeParameters {
    fold_version: u32,
    lease_ms: i64,
    away_after_ms: i64,
    busy_for_ms: i64,
    brake: bool,
    dwell_ms: i64,
}

impl From<&Parameters> for ResumeParameters {
    fn from(parameters: &Parameters) -> Self {
        let Parameters { fold_version, lease_ms, away_after_ms, busy_for_ms, brake, dwell_ms } = *parameters;
        Self { fold_version, lease_ms, away_after_ms, busy_for_ms, brake, dwell_ms }
    }
}

impl From<ResumeParameters> for Parameters {
    fn from(parameters: ResumeParameters) -> Self {
        let ResumeParameters { fold_version, lease_ms, away_after_ms, busy_for_ms, brake, dwell_ms } =
            parameters;
        Self { fold_version, lease_ms, away_after_ms, busy_for_ms, brake, dwell_ms }
    }
}

#[cfg(test)]
mod tests;
