# What the dashboard has from npm: MADE/ gets the files, MADE.stamp says that we asked.
#
# npm ci installs exactly what the lock file names and holds it against its
# hashes; scripts of packages don't run. What fails leaves the dashboard without
# charts that move, not riftd without a build; then the next build asks again.
if(NPM)
  file(REMOVE_RECURSE "${MADE}" "${MADE}.npm")
  file(COPY "${SOURCE}/package.json" "${SOURCE}/package-lock.json" DESTINATION "${MADE}.npm")
  execute_process(COMMAND "${NPM}" ci --ignore-scripts --no-audit --no-fund --prefer-offline --fetch-retries=1 --fetch-timeout=60000
                  WORKING_DIRECTORY "${MADE}.npm" RESULT_VARIABLE failed OUTPUT_VARIABLE said ERROR_VARIABLE said)
  if(failed)
    message("web: npm ci failed, so charts will stand still: ${said}")
    return()
  endif()
  set(uplot "${MADE}.npm/node_modules/uplot")
  file(COPY "${uplot}/dist/uPlot.esm.js" "${uplot}/dist/uPlot.min.css" DESTINATION "${MADE}")
  configure_file("${uplot}/LICENSE" "${MADE}/uPlot.LICENSE" COPYONLY)
endif()
file(TOUCH "${MADE}.stamp")
