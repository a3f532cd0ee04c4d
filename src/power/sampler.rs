//! Reads the sensors beside the runs.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::{Course, Figures, NO_SENSOR, Rail, Reading, Sensor, SensorFigures, sensors};

/// Distance between two looks: the monitors themselves average over about that.
const STEP: Duration = Duration::from_millis(50);
/// Time that a program has to say its first line.
const PATIENCE: Duration = Duration::from_secs(3);

/// Lines that a program prints as long as it runs.
pub(super) struct Lines {
    child: Child,
    lines: Receiver<String>,
}

impl Lines {
    /// Starts a program, where it is installed.
    pub(super) fn of(program: &str, args: &[&str]) -> Option<Self> {
        let mut child = Command::new(program)
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        let stdout = child.stdout.take()?;
        let (send, lines) = channel();
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if send.send(line).is_err() {
                    return;
                }
            }
        });
        Some(Self { child, lines })
    }

    /// The first line, for which it waits a little.
    pub(super) fn first(&mut self) -> Option<String> {
        self.lines.recv_timeout(PATIENCE).ok()
    }

    /// The latest line since the last call.
    pub(super) fn latest(&mut self) -> Option<String> {
        self.lines.try_iter().last()
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a sensor saw over time.
pub struct Trace {
    sensor: &'static str,
    covers: &'static str,
    seen: Vec<(Instant, Reading)>,
}

/// Reads every sensor until it is told to stop.
pub struct Sampler {
    done: Arc<AtomicBool>,
    thread: JoinHandle<Vec<Trace>>,
}

impl Sampler {
    /// Begins.
    pub fn start() -> Self {
        let done = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&done);
        let mut sensors = sensors();
        let thread = thread::spawn(move || watch(&mut sensors, &told));
        Self { done, thread }
    }

    /// Ends, and gives what was seen.
    pub fn stop(self) -> Vec<Trace> {
        self.done.store(true, Ordering::Relaxed);
        self.thread.join().unwrap_or_default()
    }
}

fn watch(sensors: &mut [Box<dyn Sensor>], done: &AtomicBool) -> Vec<Trace> {
    let mut traces: Vec<Trace> = sensors
        .iter()
        .map(|s| Trace {
            sensor: s.name(),
            covers: s.covers(),
            seen: Vec::new(),
        })
        .collect();
    while !traces.is_empty() && !done.load(Ordering::Relaxed) {
        for (sensor, trace) in sensors.iter_mut().zip(&mut traces) {
            trace
                .seen
                .extend(sensor.read().map(|r| (Instant::now(), r)));
        }
        thread::sleep(STEP);
    }
    traces
}

impl Figures {
    /// What was drawn from `start` for `duration`, in which `clips` were run.
    pub fn of(traces: &[Trace], start: Instant, duration: Duration, clips: usize) -> Self {
        let figures = traces
            .iter()
            .filter_map(|t| t.figures(start, duration, clips));
        let sensors: Vec<SensorFigures> = figures.collect();
        let note = match (traces.is_empty(), sensors.is_empty()) {
            (true, _) => Some(NO_SENSOR.to_owned()),
            (_, true) => Some("the runs were too short for a sensor to be read".to_owned()),
            _ => None,
        };
        Self { sensors, note }
    }
}

impl Trace {
    fn figures(&self, start: Instant, duration: Duration, clips: usize) -> Option<SensorFigures> {
        let end = start + duration;
        let during = self
            .seen
            .iter()
            .filter(|(at, _)| (start..=end).contains(at));
        let readings: Vec<&Reading> = during.map(|(_, r)| r).collect();
        let totals = readings.iter().filter_map(|r| r.total_w());
        let total = course("total".to_owned(), &totals.collect::<Vec<f64>>())?;
        let rails = courses(&readings, |r| &r.rails).into_iter();
        Some(SensorFigures {
            sensor: self.sensor.to_owned(),
            covers: self.covers.to_owned(),
            samples: readings.len(),
            mean_w: total.mean,
            peak_w: total.max,
            joules_per_clip: total.mean * duration.as_secs_f64() / clips.max(1) as f64,
            rails: rails
                .map(|c| Rail {
                    name: c.name,
                    mean_w: c.mean,
                    peak_w: c.max,
                })
                .collect(),
            temperatures_c: courses(&readings, |r| &r.temperatures_c),
            clocks_mhz: courses(&readings, |r| &r.clocks_mhz),
        })
    }
}

/// Courses of all values of one kind, by name.
fn courses(readings: &[&Reading], of: fn(&Reading) -> &Vec<(String, f64)>) -> Vec<Course> {
    let mut by_name: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    for (name, value) in readings.iter().flat_map(|r| of(r)) {
        by_name.entry(name).or_default().push(*value);
    }
    let courses = by_name.into_iter();
    courses
        .filter_map(|(name, values)| course(name.to_owned(), &values))
        .collect()
}

fn course(name: String, values: &[f64]) -> Option<Course> {
    let min = values.iter().copied().reduce(f64::min)?;
    let max = values.iter().copied().reduce(f64::max)?;
    Some(Course {
        name,
        mean: values.iter().sum::<f64>() / values.len() as f64,
        min,
        max,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_read_during_the_runs_counts() {
        let start = Instant::now();
        let at = |ms: u64, watts: f64| {
            let reading = Reading {
                rails: vec![("VDD_IN".to_owned(), watts)],
                temperatures_c: vec![("tj".to_owned(), 40.0 + watts)],
                ..Reading::default()
            };
            (start + Duration::from_millis(ms), reading)
        };
        let trace = Trace {
            sensor: "INA3221",
            covers: "a module",
            seen: vec![at(0, 99.0), at(100, 10.0), at(150, 20.0), at(900, 99.0)],
        };
        let (begin, length) = (
            start + Duration::from_millis(50),
            Duration::from_millis(200),
        );
        let figures = Figures::of(&[trace], begin, length, 2);
        let sensor = &figures.sensors[0];
        assert_eq!(
            (sensor.samples, sensor.mean_w, sensor.peak_w),
            (2, 15.0, 20.0)
        );
        assert!((sensor.joules_per_clip - 1.5).abs() < 1e-12);
        assert_eq!(sensor.temperatures_c[0].max, 60.0);
        assert_eq!(figures.note, None);
        let none = Figures::of(&[], begin, length, 2);
        assert!(none.note.unwrap().contains("no power sensor"));
    }

    #[cfg(unix)]
    #[test]
    fn a_program_is_read_and_ended() {
        let mut lines = Lines::of("sh", &["-c", "echo one; echo two; sleep 60"]).unwrap();
        assert_eq!(lines.first().as_deref(), Some("one"));
        thread::sleep(Duration::from_millis(200));
        assert_eq!(lines.latest().as_deref(), Some("two"));
        assert_eq!(lines.latest(), None);
        drop(lines);
        assert!(Lines::of("no-such-program-here", &[]).is_none());
    }
}
