# What is made while it is installed: the prefix is known only then.
set(source "@install_source@")
set(made "@install_made@/made")
file(REMOVE_RECURSE "${made}")

# Units name programs and files by their paths.
foreach(unit riftd.service riftd.socket rift-worker.socket rift-worker@.service riftd.slice riftd-backup.service
             riftd-backup.timer)
  file(READ "${source}/systemd/${unit}" text)
  string(REPLACE "/usr/bin/rift" "${CMAKE_INSTALL_PREFIX}/bin/rift" text "${text}")
  string(REPLACE "/usr/share/riftd" "${CMAKE_INSTALL_PREFIX}/share/riftd" text "${text}")
  file(WRITE "${made}/${unit}" "${text}")
  file(INSTALL "${made}/${unit}" DESTINATION "${CMAKE_INSTALL_PREFIX}/lib/systemd/system")
endforeach()

# Manual pages and the changes, compressed as Debian wants them: without name and time, for the same bits each time.
function(install_compressed path name destination)
  file(MAKE_DIRECTORY "${made}")
  execute_process(COMMAND gzip -9nc "${path}" OUTPUT_FILE "${made}/${name}.gz" COMMAND_ERROR_IS_FATAL ANY)
  file(INSTALL "${made}/${name}.gz" DESTINATION "${destination}")
endfunction()
file(GLOB pages "@install_made@/man/*.[1-8]")
foreach(page IN LISTS pages)
  get_filename_component(name "${page}" NAME)
  string(REGEX REPLACE ".*\\." "" section "${name}")
  install_compressed("${page}" "${name}" "${CMAKE_INSTALL_PREFIX}/share/man/man${section}")
endforeach()
install_compressed("${source}/packaging/debian/changelog" changelog "${CMAKE_INSTALL_PREFIX}/share/doc/riftd")

# riftd reads /etc/riftd, whatever the prefix. What somebody has written there stays.
if(EXISTS "$ENV{DESTDIR}/etc/riftd/riftd.conf")
  message(STATUS "Kept: $ENV{DESTDIR}/etc/riftd/riftd.conf")
else()
  file(INSTALL "@install_made@/riftd.conf" DESTINATION /etc/riftd)
endif()
