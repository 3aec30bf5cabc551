# MADE/node_modules as package-lock.json says; MADE/node_modules.stamp that it is whole.
if(NPM)
  file(COPY "${SOURCE}/package.json" "${SOURCE}/package-lock.json" DESTINATION "${MADE}")
  execute_process(COMMAND "${NPM}" ci --ignore-scripts --no-audit --no-fund --prefer-offline --fetch-retries=1 --fetch-timeout=60000
                  WORKING_DIRECTORY "${MADE}" RESULT_VARIABLE failed OUTPUT_VARIABLE said ERROR_VARIABLE said)
  if(failed)
    message("tests/web: npm ci failed, so the dashboard's tests will be skipped: ${said}")
    return()
  endif()
endif()
file(TOUCH "${MADE}/node_modules.stamp")
