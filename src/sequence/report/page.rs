//! The report as one page for a browser, which needs nothing beside it: plate
//! and sequence play side by side over the measures, the curves and the sheet.

use std::fmt::Write;
use std::io;

use super::encoded::Encoded;
use super::movie::Movie;
use super::{Report, Viewer};

/// Width of the players' pictures at most.
const WIDTH: usize = 480;

const STYLE: &str = "\
body{background:#18181a;color:#e1e1e1;font:14px system-ui,sans-serif;margin:16px}\
.players{display:flex;gap:12px;flex-wrap:wrap}figure{margin:0}\
video,.players img{width:480px;max-width:100%;background:#000;display:block}\
figcaption,.faint{color:#8a8a90}table{border-collapse:collapse;margin:12px 0}\
td,th{padding:2px 12px 2px 0;text-align:left;font-variant-numeric:tabular-nums}\
.good{color:#78dc82}.weak{color:#ff5a5a}input[type=range]{width:480px;max-width:100%}\
.sheet{max-width:100%}pre{white-space:pre-wrap}";

/// Keeps both players in step: the sequence leads, the plate plays over and over
/// beside it. Tells on the page's body how many players have a picture.
const SCRIPT: &str = "\
const v=[...document.querySelectorAll('video')],out=document.querySelector('#output'),\
plate=document.querySelector('#plate'),bar=document.querySelector('#bar'),\
go=document.querySelector('#go'),at=document.querySelector('#at'),\
fps=+document.body.dataset.fps,first=+document.body.dataset.first;\
let ready=document.querySelectorAll('.players img').length;\
const tell=()=>document.body.dataset.ready=ready;tell();\
v.forEach(e=>{if(e.readyState>1){ready++;tell()}\
else e.addEventListener('loadeddata',()=>{ready++;tell()},{once:true})});\
const show=()=>{if(out&&out.duration){bar.value=out.currentTime/out.duration;\
at.textContent='frame '+(first+Math.round(out.currentTime*fps))}};\
const both=f=>v.forEach(f);\
if(go){go.onclick=()=>{const p=out.paused;both(e=>p?e.play():e.pause());go.textContent=p?'pause':'play'};\
bar.oninput=()=>{const t=bar.value*out.duration;out.currentTime=t;\
if(plate&&plate.duration)plate.currentTime=t%plate.duration};\
out.ontimeupdate=show}";

/// Gathers the page while frames are measured.
pub struct Page {
    folder: tempfile::TempDir,
    plate: Option<Movie>,
    output: Option<Movie>,
    frames: usize,
    fps: f64,
    failed: Option<io::Error>,
}

impl Page {
    /// For a sequence of `frames` frames at `fps`. The players' movies are made in a folder of the system's, with ffmpeg where it is installed.
    ///
    /// # Errors
    /// Where there is no such folder.
    pub fn new(frames: usize, fps: f64) -> io::Result<Self> {
        Ok(Self {
            folder: tempfile::tempdir()?,
            plate: None,
            output: None,
            frames,
            fps,
            failed: None,
        })
    }

    /// The page for `report`, with `sheet` (a PNG) on it.
    ///
    /// # Errors
    /// Where a movie cannot be made.
    pub fn html(mut self, report: &Report, sheet: &[u8]) -> io::Result<String> {
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        let mut html = Self::head(report);
        html.push_str("<div class=\"players\">");
        let mut moves = false;
        for (name, label, movie) in [
            ("plate", "plate, over and over", self.plate.take()),
            ("output", "sequence", self.output.take()),
        ] {
            let Some(movie) = movie else { continue };
            let path = movie.finish()?;
            let data = base64(&std::fs::read(&path)?);
            let _ = match path.extension().is_some_and(|e| e == "png") {
                true => write!(
                    html,
                    "<figure><img id=\"{name}\" alt=\"{label}\" src=\"data:image/png;base64,{data}\">"
                ),
                false => {
                    moves = true;
                    let over = if name == "plate" { " loop" } else { "" };
                    write!(
                        html,
                        "<figure><video id=\"{name}\" muted playsinline preload=\"auto\"{over} src=\"data:video/mp4;base64,{data}\"></video>"
                    )
                }
            };
            let _ = write!(html, "<figcaption>{label}</figcaption></figure>");
        }
        html.push_str("</div>");
        if moves {
            html.push_str(
                "<p><button id=\"go\">play</button> <input id=\"bar\" type=\"range\" min=\"0\" \
                 max=\"1\" step=\"any\" value=\"0\"> <span id=\"at\"></span></p>",
            );
        }
        html.push_str(
            "<table><tr><th>measure</th><th>value</th><th>at least</th><th>at most</th><th>plate&#39;s own</th><th>what is seen beyond its limits</th></tr>",
        );
        let limit = |l: Option<f64>| l.map_or(String::new(), |l| format!("{l:.3}"));
        for v in &report.verdicts {
            let (class, faint) = match v.pass {
                true => ("good", " class=\"faint\""),
                false => ("weak", ""),
            };
            let _ = write!(
                html,
                "<tr class=\"{class}\"><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td{faint}>{}</td></tr>",
                v.measure,
                v.figure(),
                limit(v.at_least),
                limit(v.at_most),
                limit(report.referred(v)),
                v.meaning,
            );
        }
        html.push_str("</table>");
        for missing in &report.missing {
            let text = escaped(&missing.to_string());
            let _ = write!(html, "<p class=\"faint\">{text}</p>");
        }
        let measures = serde_json::to_string_pretty(&report.measures)?;
        let _ = writeln!(
            html,
            "<p class=\"faint\">plate&#39;s own: what the second half of the plate \
             measures against its first</p><img class=\"sheet\" alt=\"frames, curves and slices\" \
             src=\"data:image/png;base64,{}\"><details><summary>all measures</summary><pre>{}</pre></details>\
             <script type=\"application/json\" id=\"report\">{}</script><script>{SCRIPT}</script></body></html>",
            base64(sheet),
            escaped(&measures),
            // Inside a script only this ends it.
            report.json().replace("</", "<\\/"),
        );
        Ok(html)
    }

    /// All before the players: what is shown, of which plate, how it was made.
    fn head(report: &Report) -> String {
        let (o, titles) = (&report.output, &report.titles);
        // A tab shows the beginning only, so the folders of the name are left out there.
        let title = escaped(&report.heading(titles.file()));
        let heading = escaped(&report.heading(&titles.sequence));
        let details: Vec<String> = report.details().iter().map(|l| escaped(l)).collect();
        format!(
            "<!DOCTYPE html><html lang=\"en\"><head><meta charset=\"utf-8\">\
             <title>{title} - Longtake report</title><style>{STYLE}</style></head>\
             <body data-fps=\"{}\" data-first=\"{}\"><h1>{heading}</h1>\
             <p class=\"faint\">{}</p>",
            o.fps,
            o.first,
            details.join("<br>"),
        )
    }

    fn push(
        movie: &mut Option<Movie>,
        new: impl FnOnce() -> Movie,
        picture: &Encoded,
    ) -> io::Result<()> {
        movie.get_or_insert_with(new).push(&picture.reduced(WIDTH))
    }
}

impl Viewer for Page {
    fn plate(&mut self, _frame: i32, _index: usize, picture: &Encoded) {
        if self.failed.is_none() {
            // An animated PNG wants to know its length before: as long as the
            // sequence's at most, which a player does not mind.
            let (path, fps, frames) = (self.folder.path().join("plate.mp4"), self.fps, self.frames);
            let new = || Movie::small(&path, frames, fps);
            self.failed = Self::push(&mut self.plate, new, picture).err();
        }
    }

    fn output(&mut self, _frame: i32, _index: usize, picture: &Encoded) {
        if self.failed.is_none() {
            let (path, fps, frames) =
                (self.folder.path().join("output.mp4"), self.fps, self.frames);
            let new = || Movie::small(&path, frames, fps);
            self.failed = Self::push(&mut self.output, new, picture).err();
        }
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

/// Base64 (RFC 4648).
fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let at = |i: usize| u32::from(three.get(i).copied().unwrap_or(0));
        let bits = at(0) << 16 | at(1) << 8 | at(2);
        for k in 0..4 {
            if k <= three.len() {
                text.push(char::from(LETTERS[(bits >> (18 - 6 * k)) as usize & 63]));
            } else {
                text.push('=');
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_that_of_the_standard() {
        for (plain, coded) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(base64(plain.as_bytes()), coded);
        }
    }
}
