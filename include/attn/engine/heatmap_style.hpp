// SPDX-License-Identifier: Apache-2.0
// How pages of weights look and answer: their style sheet, and the script that shows tooltips.
//
// One hue, from the card's colour to full: lightness alone carries the weight, so that it can be
// read without seeing colours. A cell's title holds its numbers; the script shows the same text at
// the pointer, at a tap and at the keyboard's place, and without it the browser shows titles.
#pragma once

#include <string_view>

#include <attn/config.hpp>

ATTN_BEGIN_NAMESPACE
namespace engine::heatmap {

// The strongest shade behind words, --most, leaves text a contrast of 4.5 or more.
inline constexpr std::string_view kStyle = R"(:root {
  --heat: 191 76 0; --most: .62; --right: #0b62a4; --wrong: #a8480d;
}
@media (prefers-color-scheme: dark) {
  :root { --heat: 255 158 61; --most: .46; --right: #7cc0f5; --wrong: #ffa657; }
}
.legend {
  display: flex; flex-wrap: wrap; align-items: center; gap: .4rem 1.4rem;
  margin: 1.2rem 0; font-size: .88rem;
}
.legend > span { display: inline-flex; align-items: center; gap: .5rem; }
.ramp {
  width: 8rem; height: .85rem; border: 1px solid var(--edge); border-radius: .25rem;
  background: linear-gradient(to right, transparent, rgb(var(--heat) / var(--end, 1))), var(--card);
}
.ramp.words { --end: var(--most); }
.ramp.image { --heat: 255 122 16; --end: .78; background-color: #666; }
.swatch { width: 1.1rem; height: .85rem; }
.choice { position: absolute; opacity: 0; pointer-events: none; }
.choices { display: flex; gap: .5rem; margin-bottom: 1.2rem; font-size: .88rem; }
.choices label {
  padding: .15rem .8rem; border: 1px solid var(--edge); border-radius: 2rem; cursor: pointer;
  background: var(--card);
}
#all:checked ~ .choices [for=all], #onlyright:checked ~ .choices [for=onlyright],
#onlywrong:checked ~ .choices [for=onlywrong] {
  background: var(--text); border-color: var(--text); color: var(--page);
}
#all:focus-visible ~ .choices [for=all],
#onlyright:focus-visible ~ .choices [for=onlyright],
#onlywrong:focus-visible ~ .choices [for=onlywrong] {
  outline: 2px solid rgb(var(--heat)); outline-offset: 1px;
}
#onlyright:checked ~ main .card:not(.right),
#onlywrong:checked ~ main .card:not(.wrong) { display: none; }
.card {
  margin: 0 0 .9rem; padding: .75rem 1.1rem 1rem; background: var(--card);
  border: 1px solid var(--edge); border-radius: .5rem; overflow-x: auto;
}
.card.right { border-left: .3rem solid var(--right); }
.card.wrong { border-left: .3rem double var(--wrong); }
.card header { display: flex; flex-wrap: wrap; align-items: baseline; gap: .1rem .8rem; }
.card h2 { margin: 0; font-size: .95rem; line-height: 1.5; }
.mark { font-size: .85rem; font-weight: 600; color: var(--right); }
.wrong .mark { color: var(--wrong); }
.caption { margin: 0; font-size: .88rem; }
.full { font-size: .8rem; color: var(--faint); }
.card header .full { margin-left: auto; }
.map:focus-visible {
  outline: 2px solid rgb(var(--heat)); outline-offset: 3px; border-radius: .2rem;
}
.cell { cursor: default; outline: 0 solid transparent; }
.cell.on { outline: 2px solid var(--text); outline-offset: -1px; }
.odd {
  background-image:
    repeating-linear-gradient(45deg, rgb(128 128 128 / .6) 0 1.5px, transparent 1.5px 5px);
}
.tokens {
  margin: .4rem 0 0; font-size: 1.05rem; line-height: 1.85;
  white-space: pre-wrap; overflow-wrap: anywhere;
}
.tokens .cell {
  padding: .14em .08em; border-radius: .2em;
  background-color: rgb(var(--heat) / calc(var(--a) * var(--most)));
}
.key { text-decoration: underline dotted 2px; text-underline-offset: .3em; }
.panels { display: flex; flex-wrap: wrap; gap: 1rem 1.6rem; margin-top: .5rem; }
.panels figure { margin: 0; }
figcaption { margin-bottom: .3rem; font-size: .85rem; }
.alignment { border-collapse: separate; border-spacing: var(--gap); line-height: 1.1; }
.alignment td {
  width: var(--cell); min-width: var(--cell); height: var(--cell); padding: 0;
  background-color: rgb(var(--heat) / var(--a)); box-shadow: inset 0 0 0 1px rgb(128 128 128 / .16);
}
.alignment thead td { background: none; box-shadow: none; }
.alignment th {
  max-width: 16rem; max-height: 14rem; padding: 0 .35em; overflow: hidden;
  font-size: var(--letters); font-weight: 400; white-space: pre; text-overflow: ellipsis;
}
.alignment tbody th { text-align: right; }
.alignment thead th { padding: .35em 0; vertical-align: bottom; }
.upright thead th { writing-mode: vertical-rl; transform: rotate(180deg); text-align: left; }
.picture {
  position: relative; max-width: 100%; overflow: hidden; border-radius: .2rem;
  background: var(--image) 0 0 / 100% 100% no-repeat; image-rendering: var(--rendering);
}
.picture img { display: block; width: 100%; height: 100%; image-rendering: var(--rendering); }
.picture .cell, .box { position: absolute; }
.picture .cell.on { outline-color: #fff; box-shadow: 0 0 0 3px rgb(0 0 0 / .65); }
.box { pointer-events: none; }
.truth {
  border: 2px dashed #fff; outline: 1px solid rgb(0 0 0 / .55); background: rgb(0 0 0 / .001);
}
.swatch.truth { background: #666; }
.strongest { border: 2px solid #ff8a1f; outline: 1px solid rgb(0 0 0 / .55); }
.tip {
  position: fixed; z-index: 100000; max-width: min(24rem, 90vw); padding: .4rem .7rem;
  border-radius: .4rem; background: var(--text); color: var(--page);
  font-size: .85rem; line-height: 1.45; white-space: pre-line; overflow-wrap: anywhere;
  pointer-events: none; box-shadow: 0 2px 10px rgb(0 0 0 / .3);
}
.tip::first-line { font-weight: 650; }
.tip[hidden] { display: none; }
@media print { .choices { display: none; } .card { break-inside: avoid; } }
)";

// Listens on the document, whatever the number of cells. The title moves away from a cell that the
// tooltip has shown, since the browser would show it a second time.
inline constexpr std::string_view kScript = R"(<script>
(() => {
  const tip = document.createElement('div');
  tip.className = 'tip';
  tip.id = 'tip';
  tip.setAttribute('role', 'tooltip');
  tip.hidden = true;
  document.body.append(tip);
  let shown = null;
  const hide = () => {
    tip.hidden = true;
    if (!shown) return;
    shown.classList.remove('on');
    shown.removeAttribute('aria-describedby');
    shown = null;
  };
  const show = cell => {
    if (cell === shown) return;
    hide();
    shown = cell;
    if (cell.title) {
      cell.dataset.tip = cell.title;
      cell.removeAttribute('title');
    }
    tip.textContent = cell.dataset.tip;
    tip.hidden = false;
    cell.classList.add('on');
    cell.setAttribute('aria-describedby', 'tip');
    const at = cell.getClientRects()[0] || cell.getBoundingClientRect();
    const size = tip.getBoundingClientRect();
    const left = Math.min(at.left, innerWidth - size.width - 8);
    const below = at.bottom + 6;
    const fits = below + size.height < innerHeight;
    tip.style.left = Math.max(8, left) + 'px';
    tip.style.top = (fits ? below : Math.max(8, at.top - size.height - 6)) + 'px';
  };
  const cells = map => [...map.querySelectorAll('.cell')];
  const weight = cell => Number(cell.dataset.weight) || 0;  // NaN is the weakest
  const strongest = map => cells(map).reduce((a, b) => weight(b) > weight(a) ? b : a);
  const pointed = event => {
    const cell = event.target.closest && event.target.closest('.cell');
    if (cell) show(cell); else hide();
  };
  document.addEventListener('pointerover', pointed);
  document.addEventListener('click', pointed);
  document.addEventListener('focusin', event => {
    const map = event.target;
    if (map.classList.contains('map') && map.querySelector('.cell')) show(strongest(map));
    else pointed(event);
  });
  document.addEventListener('focusout', hide);
  addEventListener('scroll', hide, {passive: true, capture: true});
  document.addEventListener('keydown', event => {
    if (event.key === 'Escape') return hide();
    const map = event.target.closest && event.target.closest('.map');
    if (!map) return;
    const columns = Number(map.dataset.columns || 1);
    const step = {ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns}[event.key];
    if (!step || !map.querySelector('.cell')) return;
    event.preventDefault();
    const all = cells(map);
    const from = all.indexOf(event.target === map ? strongest(map) : event.target);
    const to = all[from + step];
    if (!to) return;
    to.tabIndex = -1;
    to.focus({preventScroll: false});
    show(to);
  });
})();
</script>
)";

}  // namespace engine::heatmap
ATTN_END_NAMESPACE
