# What could stand in /etc/riftd/riftd.conf? Everything, as riftd itself describes it;
# commented out, but for what a machine with other users needs from the first moment.
# cmake -DRIFTD=PATH -DCONF=FILE -P conf.cmake
execute_process(COMMAND ${CMAKE_COMMAND} -E env --unset=RIFTD_CONFIG ${RIFTD} --config /dev/null --state /var/lib/riftd
                        --print-settings --json
                OUTPUT_VARIABLE json COMMAND_ERROR_IS_FATAL ANY)

# Text in lines of at most 98 characters after "# ".
function(paragraph text out)
  string(REPLACE " " ";" words "${text}")
  set(line "#")
  set(lines "")
  foreach(word IN LISTS words)
    string(LENGTH "${line} ${word}" length)
    if(length GREATER 100)
      string(APPEND lines "${line}\n")
      set(line "#")
    endif()
    string(APPEND line " ${word}")
  endforeach()
  set(${out} "${lines}${line}\n" PARENT_SCOPE)
endfunction()

set(text "# Settings of riftd: riftd.conf(5). What is commented out has its default.
#
# The unit's own flags (systemctl cat riftd) and RIFTD_ variables count before this file. After a change:
#   riftd --check-config && systemctl reload riftd     # or restart, where riftd says so
")
string(JSON count LENGTH "${json}" settings)
math(EXPR last "${count} - 1")
foreach(i RANGE ${last})
  foreach(field key meaning argument default reloadable)
    string(JSON ${field} ERROR_VARIABLE none GET "${json}" settings ${i} ${field})
  endforeach()
  if(key STREQUAL "state") # the unit's StateDirectory=
    continue()
  endif()
  string(REPLACE ";" "<semicolon>" meaning "${meaning}") # a list's separator in this language
  paragraph("${meaning}" meaning)
  string(JSON kind TYPE "${json}" settings ${i} default)
  if(kind STREQUAL "NULL" OR default STREQUAL "")
    set(default "${argument}")
  elseif(kind STREQUAL "BOOLEAN")
    string(REPLACE "ON" "yes" default "${default}")
    string(REPLACE "OFF" "no" default "${default}")
  endif()
  set(said "#${key} = ${default}\n")
  if(key STREQUAL "require-token") # its default takes everybody on loopback for an administrator until there is one
    set(said "#
# As installed: yes. Root needs none over the unix socket, and makes the first there:
#   sudo riftctl --server unix:/run/riftd/riftd.sock admin token create NAME --role admin
require-token = yes\n")
  elseif(key STREQUAL "sandbox") # its default goes on without what a kernel lacks, and other jobs' files are then open
    set(said "#
# As installed: require. Debian's kernels have both; where a kernel hasn't, jobs fail and say what it lacks.
sandbox = require\n")
  endif()
  string(APPEND text "\n${meaning}${said}")
endforeach()
string(REPLACE "<semicolon>" ";" text "${text}")
file(WRITE ${CONF} "${text}")
