//! What the channels of an EXR part are: which are the picture, which name things, and
//! in which order a picture has them.

use ::exr::meta::attribute::{AttributeValue, ChannelDescription, SampleType};
use ::exr::meta::header::Header;

use super::first_channels_first;
use super::header::{ChannelFormat, SampleDepth};
use crate::frame::ids::{Cryptomattes, is_id};

/// Layers that are the picture by custom, in this order.
const PICTURES: [&str; 5] = ["rgba", "rgb", "beauty", "combined", "c"];

/// The channels of `header` in the order of a picture's samples, and the layer that
/// serves as the picture where none lies outside of layers.
pub(super) fn of(header: &Header) -> (Vec<ChannelFormat>, Option<String>) {
    let list = &header.channels.list;
    let names: Vec<String> = list.iter().map(|c| c.name.to_string()).collect();
    let cryptomattes = cryptomattes(header);
    let id = |c: &ChannelDescription, name: &str| {
        is_id(name, c.sample_type == SampleType::U32, &cryptomattes)
    };
    let able: Vec<&str> = (list.iter().zip(&names))
        .filter(|(c, name)| !id(c, name))
        .map(|(_, name)| name.as_str())
        .collect();
    let layer = match has_picture(names.iter().map(String::as_str)) {
        true => None,
        false => picture_layer(&able),
    };
    let mut channels: Vec<ChannelFormat> = (list.iter().zip(&names))
        .map(|(c, name)| {
            let serves = layer.filter(|layer| parts(name).0 == *layer);
            ChannelFormat {
                serves_as: serves
                    .and_then(|_| letter(parts(name).1))
                    .filter(|serves| !names.iter().any(|n| n == serves)),
                is_id: id(c, name),
                ..ChannelFormat::new(name, depth(c.sample_type))
            }
        })
        .collect();
    first_channels_first(&mut channels, ChannelFormat::called);
    // A picture is looked at, and a matte is read, by the first channel where no other
    // is known: as a number.
    let looked_at = |c: &ChannelFormat| matches!(c.called(), "R" | "G" | "B" | "Y" | "A");
    for (i, channel) in channels.iter_mut().enumerate() {
        if channel.depth == SampleDepth::Bits32 && (i == 0 || looked_at(channel)) {
            channel.depth = SampleDepth::Uint;
        }
    }
    (channels, layer.map(str::to_owned))
}

/// How well the part `header` serves as the picture: 2 with colour outside of layers, 1
/// with a layer of it, else 0.
pub(super) fn picture(header: &Header) -> u8 {
    let names: Vec<String> = header
        .channels
        .list
        .iter()
        .map(|c| c.name.to_string())
        .collect();
    if has_picture(names.iter().map(String::as_str)) {
        2
    } else {
        u8::from(of(header).1.is_some())
    }
}

fn depth(kind: SampleType) -> SampleDepth {
    match kind {
        SampleType::F16 => SampleDepth::Half,
        SampleType::F32 => SampleDepth::Float,
        SampleType::U32 => SampleDepth::Bits32,
    }
}

fn has_picture<'a>(mut names: impl Iterator<Item = &'a str>) -> bool {
    names.any(|name| matches!(name, "R" | "G" | "B" | "Y"))
}

/// The layer and the channel in it that `name` tells.
fn parts(name: &str) -> (&str, &str) {
    name.rsplit_once('.').unwrap_or(("", name))
}

/// Which of R, G, B and A a channel of a layer is.
fn letter(channel: &str) -> Option<&'static str> {
    match channel.to_ascii_lowercase().as_str() {
        "r" | "red" => Some("R"),
        "g" | "green" => Some("G"),
        "b" | "blue" => Some("B"),
        "a" | "alpha" => Some("A"),
        _ => None,
    }
}

/// The layer of `names` that has red, green and blue: the one outside of layers under
/// other names, else one that is called the picture, else the first.
fn picture_layer<'a>(names: &[&'a str]) -> Option<&'a str> {
    let mut layers: Vec<&str> = names.iter().map(|name| parts(name).0).collect();
    layers.dedup();
    let whole = |layer: &&str| {
        ["R", "G", "B"].iter().all(|due| {
            let of_it = names.iter().map(|name| parts(name));
            let found = of_it.filter(|(l, c)| l == layer && letter(c) == Some(due));
            found.count() == 1
        })
    };
    layers.retain(whole);
    let rank = |layer: &str| {
        let called = parts(layer).1.to_ascii_lowercase();
        let known = PICTURES.iter().position(|p| *p == called);
        (!layer.is_empty(), known.unwrap_or(PICTURES.len()))
    };
    layers.into_iter().min_by_key(|layer| rank(layer))
}

/// What the text attributes of a part say of its Cryptomattes.
fn cryptomattes(header: &Header) -> Cryptomattes {
    let all = header.own_attributes.other.iter();
    let all = all.chain(&header.shared_attributes.other);
    Cryptomattes::of(all.filter_map(|(name, value)| match value {
        AttributeValue::Text(text) => Some((name.to_string(), text.to_string())),
        _ => None,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_several_layers_the_one_that_is_called_the_picture_is_looked_at() {
        let rgb = |layer: &str| ["B", "G", "R"].map(|c| format!("{layer}{c}"));
        let of = |layers: &[&str]| {
            let names: Vec<String> = layers.iter().flat_map(|l| rgb(l)).collect();
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            picture_layer(&names).map(str::to_owned)
        };
        assert_eq!(of(&["albedo.", "diffuse."]).as_deref(), Some("albedo"));
        assert_eq!(of(&["albedo.", "Beauty."]).as_deref(), Some("Beauty"));
        let blender = ["ViewLayer.AO.", "ViewLayer.Combined."];
        assert_eq!(of(&blender).as_deref(), Some("ViewLayer.Combined"));
        assert_eq!(picture_layer(&["b", "g", "r", "rgba.A"]), Some(""));
        let nuke = ["main.alpha", "main.blue", "main.green", "main.red"];
        assert_eq!(picture_layer(&nuke), Some("main"));
        assert_eq!(picture_layer(&["N.X", "N.Y", "N.Z", "matte.R"]), None);
    }
}
