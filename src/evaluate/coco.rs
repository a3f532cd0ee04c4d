//! Scores of single annotated frames: precision at IoU thresholds, overall and mean IoU as the official
//! `metrics.py`, and average precision by the rules of COCO's `COCOeval` for masks, without categories.

use serde::{Deserialize, Serialize};

/// Thresholds of the precision.
pub const PRECISION_AT: [f32; 5] = [0.5, 0.6, 0.7, 0.8, 0.9];
/// Added to numerator and denominator of an IoU by the official `compute_iou`.
const EPSILON: f32 = 1e-6;
/// Detections that COCO looks at in one image.
const MOST_DETECTIONS: usize = 100;
/// Pixels of small, medium and large objects, as COCO has them.
const AREAS: [(f64, f64); 4] = [(0.0, 1e10), (0.0, 1024.0), (1024.0, 9216.0), (9216.0, 1e10)];

/// A query's mask against an object's.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Detection {
    /// Score of the query.
    pub score: f32,
    /// Pixels of its mask.
    pub area: u64,
    /// Pixels that it shares with the object's.
    pub both: u64,
}

/// All queries' masks for one sentence in one annotated frame.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Detections {
    /// Id of the image, as the official code makes it; it orders equal scores.
    pub image: String,
    /// Pixels of the object's mask.
    pub area: u64,
    /// The queries' masks.
    pub queries: Vec<Detection>,
}

impl Detections {
    /// The detection with the highest score, the last of equals; IoU as the official `compute_iou`.
    fn best(&self) -> Option<(u64, u64, f32)> {
        let best = self
            .queries
            .iter()
            .max_by(|a, b| a.score.total_cmp(&b.score))?;
        let any = best.area + self.area - best.both;
        Some((
            best.both,
            any,
            (best.both as f32 + EPSILON) / (any as f32 + EPSILON),
        ))
    }
}

/// What the official evaluation of A2D-Sentences and JHMDB-Sentences prints.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Mean average precision over IoU 0.5 to 0.95.
    #[serde(rename = "mAP 0.5:0.95")]
    pub map: f64,
    /// Average precision at IoU 0.5.
    #[serde(rename = "AP 0.5")]
    pub ap_50: f64,
    /// Average precision at IoU 0.75.
    #[serde(rename = "AP 0.75")]
    pub ap_75: f64,
    /// Of objects below 32² pixels; -1 if there are none.
    #[serde(rename = "AP 0.5:0.95 S")]
    pub ap_small: f64,
    /// Of objects between 32² and 96² pixels; -1 if there are none.
    #[serde(rename = "AP 0.5:0.95 M")]
    pub ap_medium: f64,
    /// Of larger objects; -1 if there are none.
    #[serde(rename = "AP 0.5:0.95 L")]
    pub ap_large: f64,
    /// Share of images whose best mask has a higher IoU than 0.5.
    #[serde(rename = "P@0.5")]
    pub p_50: f64,
    /// Likewise for 0.6.
    #[serde(rename = "P@0.6")]
    pub p_60: f64,
    /// Likewise for 0.7.
    #[serde(rename = "P@0.7")]
    pub p_70: f64,
    /// Likewise for 0.8.
    #[serde(rename = "P@0.8")]
    pub p_80: f64,
    /// Likewise for 0.9.
    #[serde(rename = "P@0.9")]
    pub p_90: f64,
    /// All shared pixels over all pixels of any of the two masks.
    pub overall_iou: f64,
    /// Mean IoU of the images.
    pub mean_iou: f64,
}

impl Summary {
    /// Every figure with its official name.
    pub fn named(&self) -> [(&'static str, f64); 13] {
        [
            ("mAP 0.5:0.95", self.map),
            ("AP 0.5", self.ap_50),
            ("AP 0.75", self.ap_75),
            ("AP 0.5:0.95 S", self.ap_small),
            ("AP 0.5:0.95 M", self.ap_medium),
            ("AP 0.5:0.95 L", self.ap_large),
            ("P@0.5", self.p_50),
            ("P@0.6", self.p_60),
            ("P@0.7", self.p_70),
            ("P@0.8", self.p_80),
            ("P@0.9", self.p_90),
            ("overall_iou", self.overall_iou),
            ("mean_iou", self.mean_iou),
        ]
    }
}

/// Scores all images; `None` if there are none.
pub fn summarise(images: &[Detections]) -> Option<Summary> {
    let mut sorted: Vec<&Detections> = images.iter().collect();
    sorted.sort_by(|a, b| a.image.cmp(&b.image));
    let best: Vec<(u64, u64, f32)> = sorted.iter().filter_map(|d| d.best()).collect();
    if best.is_empty() {
        return None;
    }
    let images = best.len() as f64;
    let share =
        |threshold: f32| best.iter().filter(|(_, _, iou)| *iou > threshold).count() as f64 / images;
    let [p_50, p_60, p_70, p_80, p_90] = PRECISION_AT.map(share);
    let (both, any) = best
        .iter()
        .fold((0, 0), |(b, a), (both, any, _)| (b + both, a + any));
    let all = |area| {
        mean(
            &(0..10)
                .map(|i| precision(&sorted, iou_threshold(i), area))
                .collect::<Vec<_>>(),
        )
    };
    Some(Summary {
        map: all(AREAS[0]),
        ap_50: precision(&sorted, iou_threshold(0), AREAS[0]),
        ap_75: precision(&sorted, iou_threshold(5), AREAS[0]),
        ap_small: all(AREAS[1]),
        ap_medium: all(AREAS[2]),
        ap_large: all(AREAS[3]),
        p_50,
        p_60,
        p_70,
        p_80,
        p_90,
        overall_iou: both as f64 / any as f64,
        mean_iou: best.iter().map(|(_, _, iou)| f64::from(*iou)).sum::<f64>() / images,
    })
}

/// `numpy.linspace(0.5, 0.95, 10)[i]`.
fn iou_threshold(i: usize) -> f64 {
    match i {
        9 => 0.95,
        _ => 0.5 + i as f64 * ((0.95 - 0.5) / 9.0),
    }
}

/// Mean of the values that are there, -1 without any.
fn mean(values: &[f64]) -> f64 {
    let valid: Vec<f64> = values.iter().copied().filter(|v| *v > -1.0).collect();
    match valid.len() {
        0 => -1.0,
        n => valid.iter().sum::<f64>() / n as f64,
    }
}

/// A detection after matching.
struct Matched {
    score: f32,
    hit: bool,
}

/// Matches one image's detections with its object: the best score first, at most one hit. Gives what
/// counts, and whether the object does.
fn matches(image: &Detections, threshold: f64, (least, most): (f64, f64)) -> (Vec<Matched>, bool) {
    let outside = |area: u64| (area as f64) < least || area as f64 > most;
    let ignored = outside(image.area);
    let mut order: Vec<&Detection> = image.queries.iter().collect();
    order.sort_by(|a, b| b.score.total_cmp(&a.score));
    order.truncate(MOST_DETECTIONS);
    let mut taken = false;
    let mut counted = Vec::with_capacity(order.len());
    for detection in order {
        let any = detection.area + image.area - detection.both;
        // Where nothing is shared, COCO's tools say 0, even if both masks are empty.
        let iou = match detection.both {
            0 => 0.0,
            both => both as f64 / any as f64,
        };
        let hit = !taken && iou >= threshold.min(1.0 - 1e-10);
        taken |= hit;
        let ignore = if hit {
            ignored
        } else {
            outside(detection.area)
        };
        if !ignore {
            let score = detection.score;
            counted.push(Matched { score, hit });
        }
    }
    (counted, !ignored)
}

/// Average precision at one IoU threshold for objects of some size: the mean over 101 recalls of the best
/// precision at that recall or a higher one; -1 without objects.
fn precision(images: &[&Detections], threshold: f64, area: (f64, f64)) -> f64 {
    let mut all = Vec::new();
    let mut objects = 0usize;
    for image in images {
        let (counted, object) = matches(image, threshold, area);
        all.extend(counted);
        objects += usize::from(object);
    }
    if objects == 0 {
        return -1.0;
    }
    all.sort_by(|a, b| b.score.total_cmp(&a.score));
    let (mut hits, mut misses) = (0.0, 0.0);
    let (mut recalls, mut precisions) = (Vec::new(), Vec::new());
    for detection in &all {
        if detection.hit {
            hits += 1.0;
        } else {
            misses += 1.0;
        }
        recalls.push(hits / objects as f64);
        precisions.push(hits / (hits + misses + f64::EPSILON));
    }
    for i in (1..precisions.len()).rev() {
        if precisions[i] > precisions[i - 1] {
            precisions[i - 1] = precisions[i];
        }
    }
    let at = |i: usize| {
        let recall = i as f64 * 0.01;
        let place = recalls.partition_point(|r| *r < recall);
        precisions.get(place).copied().unwrap_or(0.0)
    };
    (0..=100).map(at).sum::<f64>() / 101.0
}

#[cfg(test)]
mod tests;
