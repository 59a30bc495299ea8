/** A user of a simulated portal. */
export interface SimulatedUser {
  readonly id: number
  admin: boolean
  name: string
  /** `false` for one who was dismissed: REST answers `authorization_error`, though the token may still be refreshed. */
  active: boolean
  /** `false` for one whom the portal's admin gave no access to the app: REST answers `user_access_error`. */
  access: boolean
}

/** The user who installs, unless a test says otherwise. */
export const ADMIN = 1
/** The user whom ONAPPUSERREADY brings. */
export const SYSTEM_USER = 1000

/** The users of one portal; each is there as soon as somebody asks. */
export class Users {
  readonly #users = new Map<number, SimulatedUser>()

  all (): SimulatedUser[] {
    return [...this.#users.values()]
  }

  /** Gives a user, changed as told. The first user and the system user are admins until told otherwise. */
  get (id: number, changes: Partial<Omit<SimulatedUser, 'id'>> = {}): SimulatedUser {
    const user = this.#users.get(id) ?? { id, admin: id === ADMIN || id === SYSTEM_USER, name: `User ${id}`, active: true, access: true }
    this.#users.set(id, Object.assign(user, changes))
    return user
  }
}
