/** Who writes to the demo's clients: invented people, shops, lists and nuisances on domains that cannot exist. */

export const people = [
  'Astrid Berg', 'Bruno Costa', 'Chloé Martin', 'David Novák', 'Elif Yıldız', 'Farid Haddad', 'Greta Lind', 'Hugo Weiss',
  'Irena Kovač', 'Jonas Meier', 'Katja Pavlova', 'Liam Byrne', 'Maja Zielińska', 'Nils Dahl', 'Olga Petrenko', 'Paulo Reis',
  'Rosa García', 'Samir Khan', 'Tove Nyström', 'Yuki Tanaka',
] as const

export const partnerDomains = [
  'north-freight.example', 'bluehill-consulting.example', 'kettle-and-sons.example', 'citylab.example', 'harbour-bank.example',
  'mailbox.example', 'postfach.example', 'webmail.example', 'uni-westbrook.example', 'print24.example',
] as const

export const letterSubjects = [
  'Re: offer for the third quarter', 'Meeting on Thursday', 'Re: Re: delivery dates', 'Minutes of yesterday', 'Question about order 4711',
  'Contract, second draft', 'Fwd: photos from the site', 'Short question', 'Lunch?', 'Re: invoice 2031', 'Agenda for Monday',
  'Angebot für die Büromöbel', 'Rückfrage zur Lieferung', 'Devis n° 118: précisions', 'Re: Termin nächste Woche', 'Potwierdzenie spotkania',
  'Application as a nurse', 'Lab results, as discussed', 'Thesis, chapter 3', 'Holiday handover', 'Fwd: parking spaces', 'Thank you!',
] as const

export const documents = [
  ['offer.pdf', 'application/pdf'], ['contract-v2.docx', 'application/vnd.openxmlformats-officedocument.wordprocessingml.document'],
  ['photo-0413.jpg', 'image/jpeg'], ['figures.xlsx', 'application/vnd.openxmlformats-officedocument.spreadsheetml.sheet'],
  ['drawing.png', 'image/png'], ['slides.pdf', 'application/pdf'], ['results.pdf', 'application/pdf'],
] as const

export const newsletters = [
  ['Garden Weekly', 'garden-weekly.example', ['Five plants for shade', 'What to sow now', 'Frost is coming']],
  ['Trade Journal', 'trade-journal.example', ['Prices of the week', 'Ports: an overview', 'New rules for exports']],
  ['Campus Jobs', 'jobs-board.example', ['12 new jobs near you', 'Your weekly matches']],
  ['Vinyl Digest', 'vinyl-digest.example', ['Reissues of the month', 'Forgotten B-sides']],
  ['Clinic Today', 'clinic-today.example', ['Guidelines updated', 'Congress: last seats']],
] as const

export const shops = ['orders@parcel-lane.example', 'noreply@office-depot-24.example', 'service@lab-supplies.example', 'status@north-freight.example'] as const
export const shopSubjects = ['Your order has been shipped', 'Order confirmation', 'Parcel arrives tomorrow', 'Your invoice', 'Return received'] as const

/** Caught by the weights of subject, sender, HELO and missing Message-ID. */
export const spamSubjects = [
  'You have won the JACKPOT, claim your prize!!!', 'Replica watches, limited time only', 'Make money fast with our crypto bonus',
  'MIRACLE CURE FOR ALL PAIN', 'Weight loss, 100% guaranteed', 'Casino bonus: last chance', 'Cheap viagra and cialis',
] as const

/** Only marked: pushing, and from a well-kept server. */
export const pushySubjects = [
  'Act now: offer expires today', 'Last chance for your discount!!!', 'Your account is limited', 'URGENT: limited offer $$$',
  'Weight loss for busy people', 'Your lottery newsletter',
] as const

export const blockedSenders = [
  'winner@lottery-prizes.example', 'accounts@secure-bank-login.example', 'no-reply@parcel-redelivery.example',
  'dr.pill@pills-online.example', 'vip@casino-royal.example', 'shop@cheap-meds.example',
] as const

/** Left the company, were misspelt, or never existed. */
export const unknownLocalParts = [
  'anna.holm', 'j.smith', 'k.baker', 'old.boss', 'bjoern', 'fatma', 'receptoin', 'marketing', 'm.olsen', 'trainee2', 'hr', 'purchasing',
] as const

export const guessedLocalParts = [
  'admin', 'test', 'user', 'root', 'john', 'mary', 'peter', 'webmaster', 'office1', 'contact', 'support', 'mail', 'sales1', 'newsletter',
] as const

export const outsideDomains = ['gmail.example', 'outlook.example', 'freemail.example'] as const
