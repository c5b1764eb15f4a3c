# SPDX-License-Identifier: Apache-2.0
# Opens a page in headless Chromium, as its readers will, once light and once dark.
#
#   browse(FILE <page.html> [CELLS <n>] [COUNT <selector> <n> ...]
#          [TOOLTIP <text> ...] [NEXT <text> ...] [CELL <selector>])
#
# fails where
# - the page writes to the console, throws, or asks for anything outside itself;
# - it has another number of elements of class "cell", or of elements that a selector of COUNT names;
# - the pointer over a cell, and the keyboard's focus on it, show no tooltip with each text of
#   TOOLTIP, in which " | " stands for the end of a line, or the tooltip stays when the pointer left;
# - the right arrow key then leads to no tooltip with each text of NEXT;
# - the window stays empty.
# The cell is that of the largest weight, among those that CELL selects where it is given. The
# screenshots stay in the folder of the page, as <page>.light.png and <page>.dark.png.
#
# Without a browser it says "skipped: no browser" and checks nothing. An acceptance test whose name
# begins with "browser" counts as skipped then.
include_guard()

if(NOT DEFINED BROWSER)
  find_program(BROWSER NO_CACHE
    NAMES chromium chromium-browser google-chrome google-chrome-stable
  )
endif()

# Before anything of the page: what goes wrong from its first line on is heard.
set(browse_ear [[<script>
window.probed = [];
addEventListener('error', event => probed.push('error: ' +
  (event.message || 'not loaded: ' + (event.target.src || event.target.href))), true);
addEventListener('unhandledrejection', event => probed.push('error: ' + event.reason));
</script>
]])

# Behind everything of the page: looks, points, and writes what it found into the page.
set(browse_eye [[<script>
addEventListener('load', () => {
  const say = line => probed.push(line.replaceAll('\n', ' | '));
  const all = selector => [...document.querySelectorAll(selector)];
  const weight = cell => Number(cell.dataset.weight) || 0;
  const tooltip = () => {
    const tip = all('[role=tooltip]').find(tip => tip.getClientRects().length > 0);
    return tip ? tip.textContent : '';
  };
  const point = place => place.dispatchEvent(new PointerEvent('pointerover', {bubbles: true}));
  say('scheme: ' + (matchMedia('(prefers-color-scheme: dark)').matches ? 'dark' : 'light'));
  for (const entry of performance.getEntriesByType('resource')) {
    if (!entry.name.startsWith('data:')) say('error: asked for ' + entry.name);
  }
  say('cells: ' + all('.cell').length);
  for (const selector of [@selectors@]) say('count ' + selector + ': ' + all(selector).length);
  const cell = all('@cell@').reduce(
    (best, next) => best && !(weight(next) > weight(best)) ? best : next, undefined);
  if (cell) {
    point(cell);
    say('hover: ' + tooltip());
    point(document.documentElement);
    say('left: ' + tooltip());
    cell.tabIndex = -1;
    cell.focus({preventScroll: true});
    say('focus: ' + tooltip());
    const key = {key: 'ArrowRight', bubbles: true, cancelable: true};
    cell.dispatchEvent(new KeyboardEvent('keydown', key));
    say('next: ' + tooltip());
    cell.focus({preventScroll: true});
    scrollTo(0, 0);  // where the screenshot is taken
  }
  const report = document.createElement('pre');
  report.id = 'probed';
  report.hidden = true;
  report.textContent = probed.join('\n') + '\nend';
  document.body.append(report);
});
</script>
]])

# Puts ear and eye into a copy of the page.
function(browse_copy page copy selectors cell)
  file(READ ${page} html)
  string(FIND "${html}" "<head>" head)
  string(FIND "${html}" "</body>" tail REVERSE)
  if(head EQUAL -1 OR tail LESS head)
    message(FATAL_ERROR "${page} has no <head> and <body> to look into")
  endif()
  math(EXPR head "${head} + 6")
  math(EXPR length "${tail} - ${head}")
  string(SUBSTRING "${html}" 0 ${head} before)
  string(SUBSTRING "${html}" ${head} ${length} middle)
  string(SUBSTRING "${html}" ${tail} -1 after)
  string(CONFIGURE "${browse_eye}" eye @ONLY)
  file(WRITE ${copy} "${before}${browse_ear}${middle}${eye}${after}")
endfunction()

# Runs the browser; <report> becomes what the probe found, empty where it found nothing.
function(browse_run copy scheme screenshot report)
  set(folder ${copy}.${scheme})
  set(preferred 1)
  if(scheme STREQUAL "dark")
    set(preferred 0)
  endif()
  # A home and a profile of its own, so that browsers at the same time do not meet; no sandbox, which
  # root has not; nothing outside this machine has a name.
  execute_process(
    COMMAND ${CMAKE_COMMAND} -E env HOME=${folder} XDG_CONFIG_HOME=${folder} XDG_CACHE_HOME=${folder}
      ${BROWSER} --headless --no-sandbox --disable-gpu --disable-dev-shm-usage --no-first-run
      --disable-extensions --disable-background-networking --disable-breakpad
      --user-data-dir=${folder} "--host-resolver-rules=MAP * ~NOTFOUND"
      --blink-settings=preferredColorScheme=${preferred} --hide-scrollbars
      --window-size=1100,1400 --virtual-time-budget=5000 --enable-logging=stderr
      --screenshot=${screenshot} --dump-dom file://${copy}
    OUTPUT_FILE ${copy}.${scheme}.txt ERROR_VARIABLE log RESULT_VARIABLE result TIMEOUT 120
  )
  file(REMOVE_RECURSE ${folder})
  file(READ ${copy}.${scheme}.txt dom)
  file(REMOVE ${copy}.${scheme}.txt)
  string(FIND "${dom}" "<pre id=\"probed\"" at REVERSE)
  if(at EQUAL -1)
    set(${report} "" PARENT_SCOPE)
    message(STATUS "the browser ended with ${result}:\n${log}")
    return()
  endif()
  string(SUBSTRING "${dom}" ${at} -1 found)
  string(REGEX MATCH "^[^>]*>(.*)\nend</pre>" found "${found}")
  set(found "${CMAKE_MATCH_1}")
  foreach(entity "&lt=<" "&gt=>" "&nbsp= " "&amp=&")
    string(REGEX MATCH "^(.*)=(.*)$" pair "${entity}")
    string(REPLACE "${CMAKE_MATCH_1};" "${CMAKE_MATCH_2}" found "${found}")
  endforeach()
  string(REGEX MATCHALL "CONSOLE[:(][^\n]*" console "${log}")
  foreach(line IN LISTS console)
    string(APPEND found "\nerror: console: ${line}")
  endforeach()
  set(${report} "${found}" PARENT_SCOPE)
endfunction()

# Fails unless the report has the line "<name>: <value>".
function(browse_expect page report name value)
  string(FIND "\n${report}\n" "\n${name}: ${value}\n" at)
  if(at EQUAL -1)
    message(SEND_ERROR "${page}: '${name}' is not ${value}:\n${report}")
  endif()
endfunction()

# Fails unless the report's line of that name has each of the texts.
function(browse_expect_texts page report name)
  string(REGEX MATCH "\n${name}: [^\n]*" line "\n${report}")
  foreach(text IN LISTS ARGN)
    string(FIND "${line}" "${text}" at)
    if(at EQUAL -1)
      message(SEND_ERROR "${page}: no tooltip '${text}' at ${name}:\n${report}")
    endif()
  endforeach()
endfunction()

function(browse)
  cmake_parse_arguments(PARSE_ARGV 0 arg "" "FILE;CELLS;CELL" "COUNT;TOOLTIP;NEXT")
  cmake_path(ABSOLUTE_PATH arg_FILE BASE_DIRECTORY ${WORK} OUTPUT_VARIABLE page)
  if(NOT EXISTS ${page})
    message(SEND_ERROR "there is no ${page}")
    return()
  endif()
  if(NOT BROWSER)
    message(STATUS "skipped: no browser: nobody has looked at ${page}")
    return()
  endif()

  set(selectors "")
  set(counts ${arg_COUNT})
  while(counts)
    list(POP_FRONT counts selector number)
    string(APPEND selectors "`${selector}`, ")
  endwhile()
  if(NOT arg_CELL)
    set(arg_CELL .cell)
  endif()
  browse_copy(${page} ${page}.probed.html "${selectors}" "${arg_CELL}")

  foreach(scheme light dark)
    set(report "")
    foreach(attempt 1 2)  # a busy machine may not start a browser in time
      if(report STREQUAL "")
        browse_run(${page}.probed.html ${scheme} ${page}.${scheme}.png report)
      endif()
    endforeach()
    if(report STREQUAL "")
      message(SEND_ERROR "${page}: ${BROWSER} has not shown it, see above.")
      break()
    endif()
    browse_expect(${page} "${report}" scheme ${scheme})
    string(FIND "${report}" "error: " at)
    if(NOT at EQUAL -1)
      message(SEND_ERROR "${page}: something went wrong in the browser:\n${report}")
    endif()
    if(DEFINED arg_CELLS)
      browse_expect(${page} "${report}" cells ${arg_CELLS})
    endif()
    set(counts ${arg_COUNT})
    while(counts)
      list(POP_FRONT counts selector number)
      browse_expect(${page} "${report}" "count ${selector}" ${number})
    endwhile()
    if(arg_TOOLTIP)
      browse_expect(${page} "${report}" left "")
    endif()
    foreach(way hover focus)
      browse_expect_texts(${page} "${report}" ${way} ${arg_TOOLTIP})
    endforeach()
    browse_expect_texts(${page} "${report}" next ${arg_NEXT})
    # One colour takes 7.5 kB.
    set(size 0)
    if(EXISTS ${page}.${scheme}.png)
      file(SIZE ${page}.${scheme}.png size)
    endif()
    if(size LESS 8500)
      message(SEND_ERROR "${page}: the screenshot ${page}.${scheme}.png is missing or blank")
    endif()
  endforeach()
  file(REMOVE ${page}.probed.html)
endfunction()
