import { eventPage } from './definition.ts'
import { int, object, optional, text } from './shapes.ts'

const events = eventPage('humanresources.hcmlink', 'api-reference/sign/hcm-link/index.md')

/** Documented only in an article, so events may contain more keys. Each one requests an answer to the job. */
export const humanResources = {
  ...events([
    'onHumanResourcesHcmLinkEmployeeListMapped',
    'onHumanResourcesHcmLinkPinRequested',
    'onHumanResourcesHcmLinkSalaryVacationRequested'
  ], object({ jobId: int })),
  ...events(['onHumanResourcesHcmLinkEmployeeListRequested'], object({ jobId: int, company: text })),
  // The article speaks of the company and does not name the key.
  ...events(['onHumanResourcesHcmLinkFieldValueRequested'], object({ jobId: int, company: optional(text) }))
}
