//! The EXR attributes that Longtake has no use for and carries from the plate to the
//! frames made of it.

use std::collections::{BTreeMap, HashMap};

use exr::meta::attribute::{AttributeValue, Text};
use exr::meta::header::{ImageAttributes, LayerAttributes};

use crate::frame::ids;

/// Attributes that the EXR library has no field for and that are of one moment.
const MOMENTS: [&str; 4] = ["imageCounter", "capDate", "worldToCamera", "worldToNDC"];

/// Attributes of a file, and of the part of it that is read.
#[derive(Clone, Debug)]
pub(in crate::frame) struct Carried {
    pub(super) shared: ImageAttributes,
    pub(super) own: LayerAttributes,
}

/// Drops the fields of `$mine` that are otherwise in `$other`.
macro_rules! keep_alike {
    ($mine:expr, $other:expr, $($field:ident),* $(,)?) => {
        $(if $mine.$field != $other.$field {
            $mine.$field = None;
        })*
    };
}

impl Carried {
    /// Drops what `frame`, another frame of the plate, has otherwise: it is true of a
    /// frame and not of the shot.
    pub(super) fn keep_alike(&mut self, frame: &Self) {
        for (mine, other) in [
            (&mut self.shared.other, &frame.shared.other),
            (&mut self.own.other, &frame.own.other),
        ] {
            join_manifests(mine, other);
            alike(mine, other);
        }
        keep_alike!(self.shared, frame.shared, chromaticities);
        keep_alike!(
            self.own,
            frame.own,
            white_luminance,
            adopted_neutral,
            rendering_transform_name,
            look_modification_transform_name,
            horizontal_density,
            owner,
            comments,
            capture_date,
            utc_offset,
            longitude,
            latitude,
            altitude,
            focus,
            exposure,
            aperture,
            iso_speed,
            environment_map,
            film_key_code,
            wrap_mode_name,
            multi_view_names,
            world_to_camera,
            world_to_normalized_device,
            deep_image_state,
            preview,
            view_name,
            near_clip_plane,
            far_clip_plane,
            horizontal_field_of_view,
            vertical_field_of_view,
        );
    }

    /// These without what is true of one frame only, even where a plate has but one.
    pub(super) fn without_moments(&self) -> Self {
        let mut shot = self.clone();
        let own = &mut shot.own;
        own.preview = None;
        own.film_key_code = None;
        own.capture_date = None;
        own.world_to_camera = None;
        own.world_to_normalized_device = None;
        for other in [&mut shot.shared.other, &mut shot.own.other] {
            other.retain(|name, _| !MOMENTS.iter().any(|moment| name.eq(moment)));
        }
        shot
    }
}

/// Puts into Cryptomatte's manifests in `mine` the names that those of `other` have: a
/// made frame may show what any frame of the plate does.
fn join_manifests(mine: &mut HashMap<Text, AttributeValue>, other: &HashMap<Text, AttributeValue>) {
    for (name, value) in mine {
        let is_manifest = ids::told(&name.to_string()) == Some("manifest");
        if !is_manifest || other.get(name) == Some(value) {
            continue;
        }
        let both = (&*value, other.get(name));
        let (AttributeValue::Text(a), Some(AttributeValue::Text(b))) = both else {
            continue;
        };
        let names =
            |text: &Text| serde_json::from_str::<BTreeMap<String, String>>(&text.to_string());
        if let (Ok(mut all), Ok(more)) = (names(a), names(b)) {
            all.extend(more);
            let joined = serde_json::to_string(&all).unwrap_or_default();
            if let Some(joined) = Text::new_or_none(joined) {
                *value = AttributeValue::Text(joined);
            }
        }
    }
}

/// Keeps of `mine` what `other` has alike, and manifests of Cryptomattes.
fn alike(mine: &mut HashMap<Text, AttributeValue>, other: &HashMap<Text, AttributeValue>) {
    mine.retain(|name, value| {
        let joined =
            || ids::told(&name.to_string()) == Some("manifest") && other.contains_key(name);
        other.get(name) == Some(value) || joined()
    });
}
